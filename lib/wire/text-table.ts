import { Buffer } from 'node:buffer'

/** Beyond this a text is made anew: names and ids are short. */
const LENGTH_MAX = 64

/**
 * Short texts that come again and again (names of topics and attributes), told by their bytes from a
 * table of those that came last. It buys two things on the way in: no call into the engine's string decoders, which
 * costs more than everything else in a small message, and one string for all that bear the same name, whose hash is
 * known to every Map. A text that is not in its place in the table replaces what is.
 */
export class TextTable {
  readonly #texts: string[]
  readonly #mask: number
  /** What came last, and mostly comes again: not even looked for in its place. */
  #last = ''

  /** @param size a power of two */
  constructor(size: number) {
    this.#texts = new Array<string>(size).fill('')
    this.#mask = size - 1
  }

  /** The UTF-8 text between two places, which must lie within the bytes. */
  utf8(bytes: Uint8Array, start: number, end: number): string {
    if (isText(this.#last, bytes, start, end)) return this.#last
    if (end - start > LENGTH_MAX) return bufferOf(bytes, start, end).toString('utf8')
    let hash = 0x811c9dc5
    for (let at = start; at < end; at++) {
      const byte = bytes[at] as number
      if (byte > 127) return bufferOf(bytes, start, end).toString('utf8')
      hash = Math.imul(hash ^ byte, 0x01000193)
    }
    const slot = (hash ^ (hash >>> 15)) & this.#mask
    const known = this.#texts[slot] as string
    if (isText(known, bytes, start, end)) return (this.#last = known)
    const text = bufferOf(bytes, start, end).toString('latin1')
    this.#texts[slot] = text
    return (this.#last = text)
  }
}

/** Whether the bytes between two places are a text; beyond ASCII they are taken for none. */
export function isText(text: string, bytes: Uint8Array, start: number, end: number): boolean {
  if (text.length !== end - start) return false
  for (let i = 0; i < text.length; i++) {
    const byte = bytes[start + i]!
    if (byte > 127 || text.charCodeAt(i) !== byte) return false
  }
  return true
}

function bufferOf(bytes: Uint8Array, start: number, end: number): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start)
}
