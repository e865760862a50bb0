import { Buffer } from 'node:buffer'

const SLAB_BYTES = 1_048_576
/** Slot and length stand before every block, so that a slab can be walked. */
const HEADER_BYTES = 8
/** Slabs that may be half empty before their blocks are moved together. */
const SLACK_SLABS = 4

interface Slab {
  readonly bytes: Buffer
  used: number
  live: number
}

/**
 * Blocks of bytes outside the garbage-collected heap, known by small numbers. A million records as objects cost a
 * gigabyte of heap that the collector walks again and again; as blocks they cost it nothing.
 */
export class RecordArena {
  /** By slot: in which slab the block is, and where. A free slot has slab -1 and the next free slot as its offset. */
  #slabOf = new Int32Array(1_024)
  #offsetOf = new Int32Array(1_024)
  #slots = 0
  #free = -1
  #slabs: (Slab | undefined)[] = []
  #current = -1
  #liveBytes = 0
  #heldBytes = 0
  #peakBytes = 0

  /** Memory taken from the system, in bytes. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /** Memory of the blocks themselves, in bytes. */
  get liveBytes(): number {
    return this.#liveBytes
  }

  /** Copies a block in and returns its slot. */
  put(block: Uint8Array): number {
    const slot = this.allocate(block.length)
    this.get(slot).set(block)
    return slot
  }

  /** Makes room for a block and returns its slot; the bytes are to be written at once, to what `get` returns. */
  allocate(length: number): number {
    const slot = this.#takeSlot()
    this.#place(slot, length)
    return slot
  }

  /** The block of a slot; what is there is never written to again, but its memory is kept as long as this is. */
  get(slot: number): Buffer {
    const start = this.start(slot)
    return this.memory(slot).subarray(start, start + this.length(slot))
  }

  /** The memory a slot's block lies in, among others. */
  memory(slot: number): Buffer {
    return this.#slabs[this.#slabOf[slot]!]!.bytes
  }

  /** Where in that memory it begins. */
  start(slot: number): number {
    return this.#offsetOf[slot]! + HEADER_BYTES
  }

  /** How many bytes it has. */
  length(slot: number): number {
    return this.memory(slot).readUInt32LE(this.#offsetOf[slot]! + 4)
  }

  /** Frees a slot; now and then moves what is left of the emptiest slab. */
  delete(slot: number): void {
    const index = this.#slabOf[slot]!
    const slab = this.#slabs[index]!
    const size = HEADER_BYTES + slab.bytes.readUInt32LE(this.#offsetOf[slot]! + 4)
    slab.live -= size
    this.#liveBytes -= size
    this.#slabOf[slot] = -1
    this.#offsetOf[slot] = this.#free
    this.#free = slot
    if (slab.live === 0 && index !== this.#current) this.#drop(index)
    else if (this.#heldBytes > 2 * this.#liveBytes + SLACK_SLABS * SLAB_BYTES) this.#compact()
  }

  #takeSlot(): number {
    if (this.#free !== -1) {
      const slot = this.#free
      this.#free = this.#offsetOf[slot]!
      return slot
    }
    if (this.#slots === this.#slabOf.length) {
      this.#slabOf = grown(this.#slabOf)
      this.#offsetOf = grown(this.#offsetOf)
    }
    return this.#slots++
  }

  #place(slot: number, length: number): void {
    const size = HEADER_BYTES + length
    let slab = this.#slabs[this.#current]
    if (slab === undefined || slab.used + size > slab.bytes.length) {
      this.#leaveCurrent()
      slab = { bytes: this.#memory(Math.max(SLAB_BYTES, size)), used: 0, live: 0 }
      const hole = this.#slabs.indexOf(undefined)
      this.#current = hole === -1 ? this.#slabs.length : hole
      this.#slabs[this.#current] = slab
    }
    slab.bytes.writeUInt32LE(slot, slab.used)
    slab.bytes.writeUInt32LE(length, slab.used + 4)
    this.#slabOf[slot] = this.#current
    this.#offsetOf[slot] = slab.used
    slab.used += size
    slab.live += size
    this.#liveBytes += size
  }

  /**
   * Of what is shared the collector keeps no account, and that is wanted here: every few megabytes of a growing arena
   * would make it walk the whole heap. What takes the place of dropped slabs does count, or they would stay for long.
   */
  #memory(length: number): Buffer {
    this.#heldBytes += length
    if (this.#heldBytes <= this.#peakBytes) return Buffer.allocUnsafeSlow(length)
    this.#peakBytes = this.#heldBytes
    return Buffer.from(new SharedArrayBuffer(length))
  }

  #leaveCurrent(): void {
    const index = this.#current
    this.#current = -1
    if (this.#slabs[index]?.live === 0) this.#drop(index)
  }

  #drop(index: number): void {
    this.#heldBytes -= this.#slabs[index]!.bytes.length
    this.#slabs[index] = undefined
  }

  #compact(): void {
    let emptiest = -1
    for (const [index, slab] of this.#slabs.entries()) {
      if (slab === undefined || index === this.#current) continue
      if (emptiest === -1 || slab.live / slab.bytes.length < share(this.#slabs[emptiest]!)) emptiest = index
    }
    const slab = this.#slabs[emptiest]
    if (slab === undefined || share(slab) > 0.75) return
    for (let offset = 0; offset < slab.used; ) {
      const slot = slab.bytes.readUInt32LE(offset)
      const length = slab.bytes.readUInt32LE(offset + 4)
      if (this.#slabOf[slot] === emptiest && this.#offsetOf[slot] === offset) {
        this.#liveBytes -= HEADER_BYTES + length
        this.#place(slot, length)
        const start = offset + HEADER_BYTES
        copyBytes(this.memory(slot), this.start(slot), slab.bytes, start, start + length)
      }
      offset += HEADER_BYTES + length
    }
    this.#drop(emptiest)
  }
}

/** From here on `fill` pays, whose call costs more. */
const FILLED_BYTES_MIN = 512

/**
 * Copies bytes into memory of an arena, or out of it. Where one side is shared the engine's `copy` goes byte by byte
 * unless both lie on words; `fill` does not.
 */
export function copyBytes(memory: Buffer, at: number, source: Buffer, start: number, end: number): void {
  if (end - start < FILLED_BYTES_MIN) source.copy(memory, at, start, end)
  else memory.fill(source.subarray(start, end), at, at + end - start)
}

function share({ live, bytes }: Slab): number {
  return live / bytes.length
}

function grown(column: Int32Array): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(2 * column.length)
  larger.set(column)
  return larger
}
