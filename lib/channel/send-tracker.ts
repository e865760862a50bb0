import type { Member, MemberId } from '../membership/member.js'
import type { MemberOutcome } from '../transport/types.js'
import type { AckMode, FaultyMember, SendReceipt } from './topic.js'

const FAULTS: Partial<Record<MemberOutcome, FaultyMember['reason']>> = {
  rejected: 'rejected',
  deferred: 'deferred',
  disappeared: 'disappeared',
  'queue-full': 'queue-full',
}

/**
 * Gathers what became of one message at each member into a receipt. Pure; invariant: `settled` is called exactly once,
 * as soon as the outcome is certain, and `met` only with `wanted` acknowledgements in hand.
 */
export class SendTracker {
  readonly #to: readonly Member[]
  readonly #ack: 'received' | 'applied'
  readonly #wanted: number
  readonly #settled: (receipt: SendReceipt) => void
  readonly #received = new Set<MemberId>()
  readonly #applied = new Set<MemberId>()
  readonly #faulty = new Map<MemberId, FaultyMember>()
  #done = false

  /** @param copies how many of `to` must acknowledge; `all`: each of them, and at least one */
  constructor(
    to: readonly Member[],
    ack: Exclude<AckMode, 'none'>,
    copies: number | 'all',
    settled: (receipt: SendReceipt) => void,
  ) {
    this.#to = to
    this.#ack = ack
    this.#wanted = copies === 'all' ? Math.max(1, to.length) : copies
    this.#settled = settled
    this.#judge()
  }

  get done(): boolean {
    return this.#done
  }

  /** Word of one member. Repeated and contradicting words are ignored: the first end counts. */
  outcome(member: Member, outcome: MemberOutcome): void {
    if (this.#done || this.#applied.has(member.id) || this.#faulty.has(member.id)) return
    if (!this.#to.some(({ id }) => id === member.id)) return
    const reason = FAULTS[outcome]
    if (outcome === 'applied') {
      this.#received.add(member.id)
      this.#applied.add(member.id)
    } else if (outcome === 'received') this.#received.add(member.id)
    else if (reason) {
      // Refused or parked after decoding: it did arrive.
      if (reason === 'rejected' || reason === 'deferred') this.#received.add(member.id)
      this.#faulty.set(member.id, { member, reason })
    }
    this.#judge()
  }

  /** The time is up. */
  timeout(): void {
    if (this.#done) return
    for (const member of this.#to) {
      if (this.#confirmed().has(member.id) || this.#faulty.has(member.id)) continue
      this.#faulty.set(member.id, { member, reason: 'timeout' })
    }
    this.#finish('unknown')
  }

  #confirmed(): ReadonlySet<MemberId> {
    return this.#ack === 'applied' ? this.#applied : this.#received
  }

  #judge(): void {
    const confirmed = this.#confirmed()
    if (confirmed.size >= this.#wanted) return this.#finish('met')
    let possible = confirmed.size
    for (const { id } of this.#to) if (!confirmed.has(id) && !this.#faulty.has(id)) possible++
    if (possible < this.#wanted) this.#finish('short')
  }

  #finish(outcome: SendReceipt['outcome']): void {
    this.#done = true
    this.#settled({
      outcome,
      wanted: this.#wanted,
      received: this.#received.size,
      applied: this.#applied.size,
      faulty: [...this.#faulty.values()],
    })
  }
}
