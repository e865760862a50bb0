import type { SessionHost } from '../../lib/http/session-host.js'
import type { Clock } from '../../lib/runtime/runtime.js'
import { DeltaManager } from '../../lib/session/delta-manager.js'
import type { DeltaManagerOptions } from '../../lib/session/delta-manager-options.js'
import { CountingRandom, ManualClock, MemoryRecordStore } from './memory-record-store.js'

/** A started manager on a store, with the parts a test wants to hold. */
export interface ManagerFixture extends SessionHost {
  readonly sessions: DeltaManager
  readonly store: MemoryRecordStore
  readonly clock: ManualClock
}

/** A clock for real HTTP: its wall time is the host's, and it stands still. */
export function clockOfNow(): ManualClock {
  const clock = new ManualClock()
  clock.nowMs = Date.now()
  return clock
}

export function oneManager(options: DeltaManagerOptions = {}, clock: ManualClock = clockOfNow()): ManagerFixture {
  return fixture('node1', new MemoryRecordStore(clock), clock, options)
}

/** Two members whose stores exchange changes at once. */
export function twoManagers(options: DeltaManagerOptions = {}): [ManagerFixture, ManagerFixture] {
  const clock = clockOfNow()
  const [a, b] = MemoryRecordStore.pair(clock)
  return [fixture('node1', a, clock, options), fixture('node2', b, clock, options, 1 << 20)]
}

function fixture(
  name: string,
  store: MemoryRecordStore,
  clock: ManualClock,
  options: DeltaManagerOptions,
  seed = 1,
): ManagerFixture {
  const parts = { store, clock: clock as Clock, random: new CountingRandom(seed), onChange: store.onChange }
  const sessions = new DeltaManager(parts, options)
  sessions.start()
  return { name, sessions, store, clock }
}
