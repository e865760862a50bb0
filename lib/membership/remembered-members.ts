import type { Member, MemberId } from './member.js'
import type { RememberedMember } from './member-table-types.js'

/**
 * The lives that are gone. Bounded by count and age; when full, the oldest absent life goes first, because forgetting
 * one that left or was superseded could let a ghost in.
 */
export class RememberedMembers {
  readonly #max: number
  readonly #forgetAfterMs: number
  readonly #lives = new Map<MemberId, RememberedMember>()
  #redialAfter: MemberId | undefined

  constructor(max: number, forgetAfterMs: number) {
    this.#max = max
    this.#forgetAfterMs = forgetAfterMs
  }

  get size(): number {
    return this.#lives.size
  }

  get(id: MemberId): RememberedMember | undefined {
    return this.#lives.get(id)
  }

  /** Those held for dead. */
  get absent(): readonly Member[] {
    return [...this.#lives.values()].filter(life => life.standing === 'absent').map(life => life.member)
  }

  /** Notes an end. What is final stays final. */
  put(life: RememberedMember): void {
    const before = this.#lives.get(life.member.id)
    if (before && before.standing !== 'absent') return
    this.#lives.delete(life.member.id)
    if (this.#lives.size >= this.#max) this.#dropOne()
    this.#lives.set(life.member.id, life)
  }

  /** The life is back. */
  remove(id: MemberId): void {
    this.#lives.delete(id)
  }

  /** Absent lives at this address belong to the past: somebody else answers there. */
  supersede(host: string, port: number, except: MemberId): void {
    for (const [id, life] of this.#lives) {
      if (life.standing !== 'absent' || id === except) continue
      if (life.member.host === host && life.member.port === port)
        this.#lives.set(id, { ...life, standing: 'superseded' })
    }
  }

  /** Up to `limit` absent members, another few each time. */
  rotate(limit: number): readonly Member[] {
    const absent = this.absent
    const start = absent.findIndex(member => member.id === this.#redialAfter) + 1
    const chosen = [...absent.slice(start), ...absent.slice(0, start)].slice(0, limit)
    this.#redialAfter = chosen.at(-1)?.id
    return chosen
  }

  sweep(nowMs: number): void {
    for (const [id, life] of this.#lives) if (nowMs - life.sinceMs >= this.#forgetAfterMs) this.#lives.delete(id)
  }

  #dropOne(): void {
    let victim: MemberId | undefined
    for (const [id, life] of this.#lives) {
      victim ??= id
      if (life.standing !== 'absent') continue
      victim = id
      break
    }
    if (victim !== undefined) this.#lives.delete(victim)
  }
}
