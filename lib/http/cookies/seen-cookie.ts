import { createHmac, timingSafeEqual } from 'node:crypto'
import { cookieIn } from './cookie-header.js'

/** Writes that one cookie names at most. */
export const TOKENS_MAX = 4
const MAC_BYTES = 16
const VALUE = /^(?:[\w-]{22}\.[0-9a-z]{1,11}~){1,4}[\w-]{22}$/

/**
 * The cookie that names the last writes a client has seen: `<token>[~<token>…]~<HMAC>`, some 50 characters for one. A
 * token is what `Session.writeToken` gives; the HMAC-SHA-256 of all of them, cut to 128 bits, keeps clients from making
 * up writes that requests would wait for.
 */
export class SeenCookie {
  /** The cookie's name. */
  readonly name: string
  readonly #prefix: string
  readonly #purpose: string
  readonly #secrets: readonly string[]

  /** The first secret signs, all verify. `session`: the name of the cookie it goes with, whose writes alone it names. */
  constructor(name: string, secrets: readonly string[], session: string) {
    this.name = name
    this.#prefix = `${name}=`
    this.#purpose = `${name}~${session}~`
    this.#secrets = secrets
  }

  /** Its value in a `Cookie` header, found without reading the others. */
  find(header: string): string | undefined {
    return cookieIn(header, this.#prefix)
  }

  /** The tokens in a value, oldest first, signed or not; undefined for what {@link issue} never makes. */
  tokens(value: string): readonly string[] | undefined {
    if (!VALUE.test(value)) return undefined
    const end = value.lastIndexOf('~')
    const all = value.slice(0, end)
    return all.includes('~') ? all.split('~') : [all]
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
