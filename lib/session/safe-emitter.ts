import { EventEmitter } from 'node:events'

/** What a map of event names to argument lists looks like. */
export type EventMap<T> = { [K in keyof T]: unknown[] }

/** Tells listeners one by one; one that throws, or whose promise rejects, neither stops the others nor the caller. */
export class SafeEmitter<Events extends EventMap<Events>> {
  readonly #emitter = new EventEmitter()
  readonly #failed: (error: unknown, event: string) => void
  /** Whether anybody has ever listened. */
  #isHeard = false

  constructor(failed: (error: unknown, event: string) => void) {
    this.#failed = failed
    this.#emitter.setMaxListeners(0)
  }

  on<K extends keyof Events>(event: K, listener: (...args: Events[K]) => void): void {
    this.#isHeard = true
    this.#emitter.on(event as string, listener as (...args: unknown[]) => void)
  }

  once<K extends keyof Events>(event: K, listener: (...args: Events[K]) => void): void {
    this.#isHeard = true
    this.#emitter.once(event as string, listener as (...args: unknown[]) => void)
  }

  off<K extends keyof Events>(event: K, listener: (...args: Events[K]) => void): void {
    this.#emitter.off(event as string, listener as (...args: unknown[]) => void)
  }

  /** Whether anybody listens, so that an event nobody hears need not be made. Asked for every change of a session. */
  hears(event: keyof Events): boolean {
    return this.#isHeard && this.#emitter.listenerCount(event as string) > 0
  }

  emit<K extends keyof Events>(event: K, ...args: Events[K]): void {
    for (const listener of this.#emitter.rawListeners(event as string)) {
      try {
        const result: unknown = listener.apply(this.#emitter, args)
        if (result instanceof Promise) result.catch(error => this.#failed(error, event as string))
      } catch (error) {
        this.#failed(error, event as string)
      }
    }
  }
}
