/** Bytes of an id, and of the length before each session. */
const ID_BYTES = 32
const LENGTH_BYTES = 4
const SLAB_BYTES = 1_048_576
const BUCKETS = 1_024

interface Place {
  readonly slab: Buffer
  readonly start: number
  readonly end: number
}

/**
 * The least that still is a copy of sessions: each has its bytes in memory of ours, is found by its id, and is in a
 * bucket. No versions, no hashes, no expiry, no check of what comes in, and nobody else is served meanwhile.
 */
export class FloorStore {
  readonly #places = new Map<string, Place>()
  readonly #buckets: string[][] = Array.from({ length: BUCKETS }, () => [])
  #slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
  #used = 0
  #rest: Buffer = Buffer.alloc(0)

  get size(): number {
    return this.#places.size
  }

  /** A store of `sessions` of so many bytes each. */
  static filled(sessions: number, bytes: number): FloorStore {
    const store = new FloorStore()
    const value = Buffer.alloc(bytes, 'x')
    for (let i = 0; i < sessions; i++) store.#add(i.toString(16).padStart(ID_BYTES, '0'), value, 0, bytes)
    return store
  }

  /** All sessions, in pieces of about so many bytes. */
  *pieces(pieceBytes: number): IterableIterator<Buffer> {
    let piece = Buffer.allocUnsafeSlow(2 * pieceBytes)
    let at = 0
    for (const [id, { slab, start, end }] of this.#places) {
      const length = LENGTH_BYTES + ID_BYTES + end - start
      if (at > 0 && at + length > piece.length) {
        yield piece.subarray(0, at)
        piece = Buffer.allocUnsafeSlow(Math.max(2 * pieceBytes, length))
        at = 0
      }
      if (length > piece.length) piece = Buffer.allocUnsafeSlow(length)
      at = piece.writeUInt32BE(length, at)
      at += piece.write(id, at, 'latin1')
      at += slab.copy(piece, at, start, end)
      if (at < pieceBytes) continue
      yield piece.subarray(0, at)
      piece = Buffer.allocUnsafeSlow(2 * pieceBytes)
      at = 0
    }
    if (at > 0) yield piece.subarray(0, at)
  }

  /** Takes in what came over a socket, in whatever chunks. */
  receive(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    while (at + LENGTH_BYTES <= bytes.length) {
      const end = at + bytes.readUInt32BE(at)
      if (end > bytes.length) break
      const valueAt = at + LENGTH_BYTES + ID_BYTES
      this.#add(bytes.toString('latin1', at + LENGTH_BYTES, valueAt), bytes, valueAt, end)
      at = end
    }
    this.#rest = bytes.subarray(at)
  }

  #add(id: string, from: Buffer, start: number, end: number): void {
    const length = end - start
    if (this.#used + length > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, length))
      this.#used = 0
    }
    from.copy(this.#slab, this.#used, start, end)
    this.#places.set(id, { slab: this.#slab, start: this.#used, end: this.#used + length })
    this.#used += length
    this.#buckets[(id.charCodeAt(ID_BYTES - 1) * 31 + id.charCodeAt(ID_BYTES - 2)) % BUCKETS]!.push(id)
  }
}
