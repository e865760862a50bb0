import { Buffer } from 'node:buffer'
import { createHmac, timingSafeEqual } from 'node:crypto'
import { mayBegin, valueAt } from './cookie-header.js'

/** Writes that one cookie names at most. */
export const TOKENS_MAX = 4
/** Cookies that a client has at most. */
export const SEATS = 4
const MAC_BYTES = 16
/** The same as text. */
const MAC_LENGTH = 22
const VALUE = /^(?:[\w-]{22}\.[0-9a-z]{1,11}~){1,4}[\w-]{22}$/

/** What the cookie of a seat says. */
export interface SeatValue {
  readonly seat: number
  readonly value: string
}

const NO_VALUES: readonly SeatValue[] = []

/**
 * The cookies that name the last writes a client has seen: `<token>[~<token>…]~<HMAC>`, some 50 characters for one. A
 * token is what `Session.writeToken` gives; the HMAC-SHA-256 of all of them, cut to 128 bits, keeps clients from making
 * up writes that requests would wait for.
 *
 * Each member writes the cookie of its seat, `name`, `name.1` … `name.3`: answers of several members to parallel requests
 * then leave all their writes behind, in whatever order they come.
 */
export class SeenCookie {
  /** The cookies' names, by seat. */
  readonly names: readonly string[]
  readonly #name: string
  readonly #prefixes: readonly string[]
  readonly #purpose: string
  readonly #secrets: readonly string[]

  /** The first secret signs, all verify. `session`: the name of the cookie it goes with, whose writes alone it names. */
  constructor(name: string, secrets: readonly string[], session: string) {
    this.names = Array.from({ length: SEATS }, (_, seat) => (seat === 0 ? name : `${name}.${seat}`))
    this.#name = name
    this.#prefixes = this.names.map(one => `${one}=`)
    this.#purpose = `${name}~${session}~`
    this.#secrets = secrets
  }

  /** All of them that a `Cookie` header has, found in one pass and without reading other cookies; the first of a name. */
  find(header: string): readonly SeatValue[] {
    let found: SeatValue[] | undefined
    for (let at = header.indexOf(this.#name); at !== -1; at = header.indexOf(this.#name, at + 1)) {
      if (!mayBegin(header, at)) continue
      const seat = this.#seatAt(header, at)
      if (seat === -1 || found?.some(other => other.seat === seat) === true) continue
      const one = { seat, value: valueAt(header, at + (this.#prefixes[seat] as string).length) }
      // A literal: a list that grows makes room for seventeen, and most clients have one.
      if (found === undefined) found = [one]
      else found.push(one)
    }
    return found ?? NO_VALUES
  }

  #seatAt(header: string, at: number): number {
    for (let seat = 0; seat < SEATS; seat++) if (header.startsWith(this.#prefixes[seat] as string, at)) return seat
    return -1
  }

  /** The tokens in a value, oldest first, signed or not; undefined for what {@link issue} never makes. */
  tokens(value: string): readonly string[] | undefined {
    if (!VALUE.test(value)) return undefined
    const end = value.length - MAC_LENGTH - 1
    const all = value.slice(0, end)
    return value.indexOf('~') === end ? [all] : all.split('~')
  }

  /** Whether we have signed it. */
  isOurs(value: string): boolean {
    const end = value.lastIndexOf('~')
    const mac = Buffer.from(value.slice(end + 1), 'base64url')
    const tokens = value.slice(0, end)
    return mac.length === MAC_BYTES && this.#secrets.some(secret => timingSafeEqual(mac, this.#mac(tokens, secret)))
  }

  /** The value that names these tokens, oldest first; of more than {@link TOKENS_MAX} the newest. */
  value(tokens: readonly string[]): string {
    const text = tokens.slice(-TOKENS_MAX).join('~')
    return `${text}~${this.#mac(text, this.#secrets[0] as string).toString('base64url')}`
  }

  #mac(tokens: string, secret: string): Buffer {
    return createHmac('sha256', secret)
      .update(this.#purpose + tokens)
      .digest()
      .subarray(0, MAC_BYTES)
  }
}
