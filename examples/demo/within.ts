import { setTimeout as delay } from 'node:timers/promises'

/** What comes of a promise, or undefined if it takes longer than `limitMs`. */
export async function within<T>(limitMs: number, promise: Promise<T>): Promise<T | undefined> {
  const done = new AbortController()
  const late = delay(limitMs, undefined, { signal: done.signal, ref: false }).catch(() => undefined)
  const result = await Promise.race([promise, late])
  done.abort()
  return result
}
