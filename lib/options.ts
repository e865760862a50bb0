import { InvalidOptionError } from './errors.js'

/** How one option is read: what is allowed, in words, and its default. */
export interface OptionRule<T> {
  readonly expected: string
  readonly fallback: T
  readonly accepts: (value: unknown) => boolean
}

/** What an option can be, other than a block of options. */
type Leaf = string | number | boolean | readonly unknown[] | RegExp | ((...args: never[]) => unknown)

type RuleTree = { readonly [name: string]: OptionRule<unknown> | RuleTree }

/** The rules that read options of this type, block by block. */
export type RulesOf<Options> = {
  readonly [Name in keyof Options]: Options[Name] extends Leaf ? OptionRule<Options[Name]> : RulesOf<Options[Name]>
}

/** What a caller may give: any part of the options. */
export type Given<Options> = {
  readonly [Name in keyof Options]?: Options[Name] extends Leaf
    ? Options[Name] | undefined
    : Given<Options[Name]> | undefined
}

/** A whole number of the range; both ends allowed. */
export function wholeNumber(fallback: number, least: number, most: number): OptionRule<number> {
  return {
    expected: `a whole number from ${least} to ${most}`,
    fallback,
    accepts: value => Number.isInteger(value) && (value as number) >= least && (value as number) <= most,
  }
}

/** `true` or `false`. */
export function flag(fallback: boolean): OptionRule<boolean> {
  return { expected: 'true or false', fallback, accepts: value => typeof value === 'boolean' }
}

/** One of the named values. */
export function oneOf<const T extends string>(fallback: T, ...values: readonly T[]): OptionRule<T> {
  return {
    expected: `one of ${values.map(value => `'${value}'`).join(', ')}`,
    fallback,
    accepts: value => (values as readonly unknown[]).includes(value),
  }
}

/** Text of a form that `expected` describes. */
export function text(fallback: string, pattern: RegExp, expected: string): OptionRule<string> {
  return { expected, fallback, accepts: value => typeof value === 'string' && pattern.test(value) }
}

/** A number above 0, also a fraction. */
export function positive(fallback: number): OptionRule<number> {
  return { expected: 'a number above 0', fallback, accepts: value => typeof value === 'number' && value > 0 }
}

/** Anything `accepts` says yes to. */
export function custom<T>(fallback: T, expected: string, accepts: (value: unknown) => boolean): OptionRule<T> {
  return { expected, fallback, accepts }
}

/**
 * Reads the caller's options against the rules: fills in what is missing and freezes the result. `path` is what stands
 * before each name in an error, with its dot.
 *
 * @throws {InvalidOptionError} naming the option, what is allowed and what came, for an unknown name or a bad value
 */
export function resolve<Options>(rules: RulesOf<Options>, given: Given<Options> | undefined, path = ''): Options {
  const tree = rules as unknown as RuleTree
  const values: Readonly<Record<string, unknown>> = given === undefined ? {} : given
  checkNames(values, Object.keys(tree), path)
  const result: Record<string, unknown> = {}
  for (const [name, rule] of Object.entries(tree)) {
    const value = values[name]
    if (!isRule(rule))
      result[name] = resolve<unknown>(rule as RulesOf<unknown>, value as Given<unknown>, `${path}${name}.`)
    else result[name] = value === undefined ? rule.fallback : accepted(rule, value, path + name)
  }
  // A copy, as the engine keeps what was filled name by name as a hash table, which every look would go through.
  return Object.freeze({ ...result }) as Options
}

/**
 * The value of one option, as it came.
 *
 * @throws {InvalidOptionError} naming the option, what is allowed and what came
 */
export function accepted(rule: OptionRule<unknown>, value: unknown, name: string): unknown {
  if (!rule.accepts(value)) throw new InvalidOptionError(name, rule.expected, value)
  return value
}

/** Whether a value can be a block of options. */
export function isBlock(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * Checks that options are an object, and that each of their names is one of the `known`. `path` as with {@link resolve}.
 *
 * @throws {InvalidOptionError} naming the option, what is allowed and what came
 */
export function checkNames(given: unknown, known: readonly string[], path = ''): void {
  if (!isBlock(given)) {
    throw new InvalidOptionError(path.slice(0, -1) || 'options', 'an object', given)
  }
  for (const [name, value] of Object.entries(given)) {
    if (known.includes(name)) continue
    throw new InvalidOptionError(path + name, `one of the known names (${known.join(', ')})`, value)
  }
}

/**
 * Of the options that the rules name, those that the caller gives: what is left out is for somebody else to decide.
 * Other names are not looked at. `path` as with {@link resolve}.
 *
 * @throws {InvalidOptionError} naming the option, what is allowed and what came, for a bad value
 */
export function pick<Options>(
  rules: { readonly [Name in keyof Options]: OptionRule<Options[Name]> },
  from: { readonly [Name in keyof Options]?: unknown },
  path = '',
): Partial<Options> {
  const values = from as Record<string, unknown>
  const result: Record<string, unknown> = {}
  for (const [name, rule] of Object.entries<OptionRule<unknown>>(rules)) {
    const value = values[name]
    if (value !== undefined) result[name] = accepted(rule, value, path + name)
  }
  return result as Partial<Options>
}

function isRule(rule: OptionRule<unknown> | RuleTree): rule is OptionRule<unknown> {
  return typeof (rule as OptionRule<unknown>).accepts === 'function'
}
