/**
 * Attributes that are not replicated: names, patterns for names, or a test that sees the value too (its class, for
 * instance). Tomcat: `sessionAttributeNameFilter`, `sessionAttributeValueClassNameFilter`, which name what *is*.
 */
export type AttributeFilter =
  | string
  | RegExp
  | readonly (string | RegExp)[]
  | ((name: string, value: unknown) => boolean)

/** Says which values of a session stay on the member where they were set. */
export class LocalRule {
  /** Encoded values above it stay here, bytes. */
  readonly maxBytes: number
  readonly #excludes: (name: string, value: unknown) => boolean

  private constructor(exclude: AttributeFilter, maxBytes: number) {
    this.maxBytes = maxBytes
    this.#excludes = testOf(exclude)
  }

  /** Undefined when every value is replicated, so that nobody need ask. `maxBytes` 0: whatever its size. */
  static of(exclude: AttributeFilter, maxBytes: number): LocalRule | undefined {
    const none = Array.isArray(exclude) && exclude.length === 0
    return none && maxBytes === 0 ? undefined : new LocalRule(exclude, maxBytes === 0 ? Infinity : maxBytes)
  }

  excludes(name: string, value: unknown): boolean {
    return this.#excludes(name, value)
  }
}

function testOf(exclude: AttributeFilter): (name: string, value: unknown) => boolean {
  if (typeof exclude === 'function') return (name, value) => exclude(name, value) === true
  const rules = typeof exclude === 'string' || exclude instanceof RegExp ? [exclude] : exclude
  const names = new Set(rules.filter(rule => typeof rule === 'string'))
  const patterns = rules
    .filter(rule => rule instanceof RegExp)
    // Without the flags that make a pattern remember where it was.
    .map(({ source, flags }) => new RegExp(source, flags.replace(/[gy]/g, '')))
  return name => names.has(name) || patterns.some(pattern => pattern.test(name))
}

/** Whether a value is an {@link AttributeFilter}. */
export function isAttributeFilter(value: unknown): boolean {
  const isRule = (rule: unknown): boolean => typeof rule === 'string' || rule instanceof RegExp
  return isRule(value) || typeof value === 'function' || (Array.isArray(value) && value.every(isRule))
}
