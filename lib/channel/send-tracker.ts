import type { Member } from '../membership/member.js'
import type { MemberOutcome } from '../transport/types.js'
import { Dated } from './deadlines.js'
import type { AckMode, FaultyMember, SendReceipt } from './topic.js'

const FAULTS: Partial<Record<MemberOutcome, FaultyMember['reason']>> = {
  rejected: 'rejected',
  deferred: 'deferred',
  disappeared: 'disappeared',
  'queue-full': 'queue-full',
}

type Known = 'nothing' | 'received' | 'applied' | 'faulty'

/**
 * Gathers what became of one message at each member into a receipt. Pure; invariant: `settled` is called exactly once,
 * as soon as the outcome is certain, and `met` only with `wanted` acknowledgements in hand.
 */
export class SendTracker extends Dated {
  readonly #to: readonly Member[]
  readonly #ack: 'received' | 'applied'
  readonly #wanted: number
  readonly #settled: (receipt: SendReceipt) => void
  /** What is known of each of `#to`: mostly one or two members, for which lists are lighter than sets. */
  readonly #known: Known[]
  readonly #faulty: FaultyMember[] = []
  #received = 0
  #applied = 0
  #done = false

  /** @param copies how many of `to` must acknowledge; `all`: each of them, and at least one */
  constructor(
    to: readonly Member[],
    ack: Exclude<AckMode, 'none'>,
    copies: number | 'all',
    settled: (receipt: SendReceipt) => void,
  ) {
    super()
    this.#to = to
    // A literal: to fill a list is a call into the engine, and most messages go to one member.
    this.#known = to.length === 1 ? ['nothing'] : new Array<Known>(to.length).fill('nothing')
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
    if (this.#done) return
    const index = indexOf(this.#to, member)
    const known = this.#known[index]
    if (known === undefined || known === 'applied' || known === 'faulty') return
    const reason = FAULTS[outcome]
    // Refused or parked after decoding: it did arrive.
    const arrived = reason === undefined || reason === 'rejected' || reason === 'deferred'
    if (arrived && known === 'nothing') this.#received++
    if (outcome === 'applied') this.#applied++
    if (reason !== undefined) this.#faulty.push({ member, reason })
    this.#known[index] = reason !== undefined ? 'faulty' : outcome === 'applied' ? 'applied' : 'received'
    this.#judge()
  }

  override timeout(): void {
    if (this.#done) return
    this.#to.forEach((member, index) => {
      if (this.#isOpen(this.#known[index] as Known)) this.#faulty.push({ member, reason: 'timeout' })
    })
    this.#finish('unknown')
  }

  #judge(): void {
    const confirmed = this.#ack === 'applied' ? this.#applied : this.#received
    if (confirmed >= this.#wanted) return this.#finish('met')
    let possible = confirmed
    for (const known of this.#known) if (this.#isOpen(known)) possible++
    if (possible < this.#wanted) this.#finish('short')
  }

  /** Whether a member may still acknowledge. */
  #isOpen(known: Known): boolean {
    return known === 'nothing' || (known === 'received' && this.#ack === 'applied')
  }

  #finish(outcome: SendReceipt['outcome']): void {
    this.#done = true
    this.#settled({
      outcome,
      wanted: this.#wanted,
      received: this.#received,
      applied: this.#applied,
      faulty: this.#faulty,
    })
  }
}

function indexOf(members: readonly Member[], { id }: Member): number {
  for (let index = 0; index < members.length; index++) if (members[index]?.id === id) return index
  return -1
}
