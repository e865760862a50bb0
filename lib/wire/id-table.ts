import { Buffer } from 'node:buffer'

/** Bytes of an id. */
export const ID_BYTES = 16
const WORDS = ID_BYTES / 4

/**
 * Ids of members that came last, as the 32 hexadecimal digits they are known by, told by their 16 bytes. As TextTable:
 * the same string each time, and no call into the engine to make it. An id that is not in its place replaces what is.
 */
export class IdTable {
  readonly #texts: string[]
  readonly #words: Int32Array
  readonly #mask: number

  /** @param size a power of two */
  constructor(size: number) {
    this.#texts = new Array<string>(size).fill('0'.repeat(2 * ID_BYTES))
    this.#words = new Int32Array(WORDS * size)
    this.#mask = size - 1
  }

  /** The id at a place; 16 bytes must be there. */
  at(bytes: Uint8Array, start: number): string {
    const first = word(bytes, start)
    const second = word(bytes, start + 4)
    const third = word(bytes, start + 8)
    const fourth = word(bytes, start + 12)
    const slot = (fourth ^ (fourth >>> 16)) & this.#mask
    const words = this.#words
    const at = WORDS * slot
    const known = words[at] === first && words[at + 1] === second && words[at + 2] === third && words[at + 3] === fourth
    if (known) return this.#texts[slot] as string
    const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, ID_BYTES).toString('hex')
    this.#texts[slot] = text
    words[at] = first
    words[at + 1] = second
    words[at + 2] = third
    words[at + 3] = fourth
    return text
  }
}

function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}
