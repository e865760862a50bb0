import { custom, type OptionRule } from '../../options.js'

/** Names requests: all, those whose path matches, or those a function says yes to. */
export type RequestTest<R> = boolean | RegExp | ((req: R) => boolean)

/** The rule of an option that is a {@link RequestTest}; it may be left out. */
export const REQUEST_TEST: OptionRule<unknown> = custom<unknown>(
  undefined,
  'true, false, a pattern or a function',
  value => typeof value === 'boolean' || value instanceof RegExp || typeof value === 'function',
)

/** Whether a request is one of those named. `url`: its path, with or without the query. */
export function isNamed<R>(test: RequestTest<R>, url: string, req: R): boolean {
  if (typeof test === 'boolean') return test
  return typeof test === 'function' ? test(req) : matches(test, pathOf(url))
}

/** The path of a URL without its query. */
export function pathOf(url: string): string {
  const query = url.indexOf('?')
  return query === -1 ? url : url.slice(0, query)
}

/** Whether a pattern is in the path, also one that remembers where it was. */
export function matches(pattern: RegExp, path: string): boolean {
  pattern.lastIndex = 0
  return pattern.test(path)
}
