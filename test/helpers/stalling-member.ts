import type { SessionHost } from '../../lib/http/session-host.js'
import { DeltaManager } from '../../lib/session/delta-manager.js'
import type { DeltaManagerOptions } from '../../lib/session/delta-manager-options.js'
import { ManualFreshness } from './manual-freshness.js'
import type { ManualClock } from './memory-record-store.js'
import { CountingRandom, MemoryRecordStore } from './memory-record-store.js'
import { clockOfNow } from './session-managers.js'

/** A member that stands still when told, and then hears nothing of the other. */
export interface StallingMember extends SessionHost {
  readonly sessions: DeltaManager
  readonly freshness: ManualFreshness
  readonly elsewhere: DeltaManager
  readonly clock: ManualClock
  /** Stands still while the other member does `work`. */
  stallWhile(work: (elsewhere: DeltaManager) => void): void
  catchUp(changed?: boolean): void
}

/** Two members that share their sessions. */
export function stallingMember(options: DeltaManagerOptions = {}): StallingMember {
  const clock = clockOfNow()
  const [here, there] = MemoryRecordStore.pair(clock)
  const freshness = new ManualFreshness()
  const manager = (store: MemoryRecordStore, random: number, own?: ManualFreshness): DeltaManager => {
    const parts = { store, clock, random: new CountingRandom(random), onChange: store.onChange }
    const made = new DeltaManager(own === undefined ? parts : { ...parts, freshness: own }, options)
    made.start()
    return made
  }
  const sessions = manager(here, 1, freshness)
  const elsewhere = manager(there, 1 << 20)
  return {
    name: 'here',
    sessions,
    freshness,
    /** What the other member writes while this one stands still. */
    stallWhile(work: (elsewhere: DeltaManager) => void): void {
      freshness.stall()
      there.held = true
      clock.nowMs += 5_000
      work(elsewhere)
    },
    catchUp(changed = true): void {
      there.flush()
      clock.nowMs += 100
      freshness.catchUp(changed)
    },
    elsewhere,
    clock,
  }
}
