import type { Freshness } from '../../lib/replication/stall-fence.js'

/** A copy that is old or fresh as the test says. */
export class ManualFreshness implements Freshness {
  fresh = true
  epoch = 0
  #wait: { readonly promise: Promise<void>; readonly fulfil: () => void } | undefined

  whenFresh(): Promise<void> | undefined {
    if (this.fresh) return undefined
    if (this.#wait === undefined) {
      let fulfil = (): void => {}
      const promise = new Promise<void>(resolve => {
        fulfil = resolve
      })
      this.#wait = { promise, fulfil }
    }
    return this.#wait.promise
  }

  /** The process stood still. */
  stall(): void {
    this.fresh = false
  }

  /** The copy has caught up, and with something that others changed meanwhile, or with nothing. */
  catchUp(changed = true): void {
    this.fresh = true
    if (changed) this.epoch++
    this.#wait?.fulfil()
    this.#wait = undefined
  }
}
