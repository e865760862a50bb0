import { InvalidOptionError } from '../errors.js'

/** Names that begin with this are the library's own; applications neither see nor write them. */
export const RESERVED_PREFIX = '\u0000'
/** Before the name of the application whose attribute it is; members that know nothing of it take it for reserved. */
const APPLICATION_PREFIX = '\u0000@'

/** Which attributes of a session an application shares with others. */
export interface AttributeScopeOptions {
  /**
   * The application's name, 1 to 64 letters, digits, `-` or `_`. Its attributes are then its own, except the `shared`
   * ones: other applications neither see nor overwrite them. Default: none, and every attribute is shared. It counts
   * towards the 256 bytes that an attribute's name may have, with three more.
   */
  readonly application?: string
  /** Names of attributes that all applications have in common, or a pattern for them. Default: none. */
  readonly shared?: readonly string[] | RegExp
}

/**
 * Maps names as an application says them to names as they are stored, and back. Several applications may so use one
 * session, as KHAN's session server has them do: each has a namespace of its own in it, beside what they share.
 *
 * All applications should agree on what is shared: each looks for a name either among the shared ones or among its own.
 */
export class AttributeScope {
  /** Sees every attribute that belongs to no application. */
  static readonly whole: AttributeScope = new AttributeScope({})
  readonly #prefix: string
  readonly #names: ReadonlySet<string>
  readonly #pattern: RegExp | undefined

  /** @throws {InvalidOptionError} for a name that no application may have, and for no list of names */
  constructor({ application = '', shared = [] }: AttributeScopeOptions) {
    if (application !== '' && !(typeof application === 'string' && /^[\w-]{1,64}$/.test(application))) {
      throw new InvalidOptionError('application', '1 to 64 letters, digits, - or _', application)
    }
    if (!(shared instanceof RegExp) && !Array.isArray(shared)) {
      throw new InvalidOptionError('shared', 'a list of names, or a pattern', shared)
    }
    this.#prefix = application === '' ? '' : `${APPLICATION_PREFIX}${application}\u0000`
    this.#pattern = shared instanceof RegExp ? new RegExp(shared.source, shared.flags.replace(/[gy]/g, '')) : undefined
    this.#names = new Set(shared instanceof RegExp ? [] : shared)
  }

  /** The name under which an attribute is stored; undefined for one that the library keeps to itself. */
  stored(name: string): string | undefined {
    if (name.startsWith(RESERVED_PREFIX)) return undefined
    return this.#prefix === '' || this.#isShared(name) ? name : this.#prefix + name
  }

  /** The name by which the application knows a stored attribute; undefined when it is not one of its attributes. */
  name(stored: string): string | undefined {
    if (!stored.startsWith(RESERVED_PREFIX)) return this.#prefix === '' || this.#isShared(stored) ? stored : undefined
    if (this.#prefix === '' || !stored.startsWith(this.#prefix)) return undefined
    const name = stored.slice(this.#prefix.length)
    return this.#isShared(name) ? undefined : name
  }

  /** The names among these that the application has, as it knows them. */
  names(stored: Iterable<string>): string[] {
    const names: string[] = []
    for (const one of stored) {
      const name = this.name(one)
      if (name !== undefined) names.push(name)
    }
    return names
  }

  #isShared(name: string): boolean {
    return this.#names.has(name) || this.#pattern?.test(name) === true
  }
}

/**
 * The scope that an application's options ask for; undefined: none of its own.
 *
 * @throws {InvalidOptionError} as the scope does, and for `shared` without `application`
 */
export function scopeOf(options: {
  readonly application?: string | undefined
  readonly shared?: readonly string[] | RegExp | undefined
}): AttributeScope | undefined {
  const { application = '', shared } = options
  if (application !== '') return new AttributeScope(shared === undefined ? { application } : { application, shared })
  if (shared !== undefined) throw new InvalidOptionError('shared', 'given with application', shared)
  return undefined
}

/** Whether a stored attribute is any application's, and not the library's own. */
export function isAttribute(stored: string): boolean {
  return !stored.startsWith(RESERVED_PREFIX) || stored.startsWith(APPLICATION_PREFIX)
}
