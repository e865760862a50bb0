import type { SessionHost } from '../../lib/http/session-host.js'
import { createNodeRuntime } from '../../lib/runtime/node-runtime.js'
import { DeltaManager } from '../../lib/session/delta-manager.js'
import { type DeltaManagerOptions, resolveDeltaManagerOptions } from '../../lib/session/delta-manager-options.js'
import type { UsersOptions } from '../../lib/users/login-policy.js'
import { Users } from '../../lib/users/users.js'
import { MemoryRecordStore } from './memory-record-store.js'

/** A member with users, on a store in memory and the host's clock. */
export interface UserMember extends SessionHost {
  readonly sessions: DeltaManager
  readonly users: Users
  readonly store: MemoryRecordStore
}

/** Two members whose stores exchange changes at once. */
export function userMembers(options?: UsersOptions, managing?: DeltaManagerOptions): [UserMember, UserMember] {
  const { clock, random } = createNodeRuntime()
  const begin = (name: string, store: MemoryRecordStore): UserMember => {
    const parts = { store, clock, random, onChange: store.onChange }
    const sessions = new DeltaManager(parts, managing)
    const users = new Users({ ...parts, sessions, receipts: resolveDeltaManagerOptions(managing) }, options)
    users.start()
    sessions.start()
    return { name, sessions, users, store }
  }
  const [one, other] = MemoryRecordStore.pair(clock)
  return [begin('node1', one), begin('node2', other)]
}
