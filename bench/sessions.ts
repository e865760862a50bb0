import { randomBytes } from 'node:crypto'
import type { Cluster } from '../lib/index.js'

/** Sessions of one make: so many bytes of text in so many attributes. */
export interface SessionShape {
  readonly sessions: number
  readonly bytes: number
  readonly attributes: number
}

/** Bounds of a batch; two are under way at once, which must fit into a member's queue. */
const BATCH_BYTES = 2_097_152
const BATCH_MAX = 1_000

/** The attributes of one session: random text, so that nothing is shared by chance. */
export function attributesOf({ bytes, attributes }: SessionShape): [name: string, value: string][] {
  const length = Math.floor(bytes / attributes)
  const text = randomBytes(Math.ceil((length * attributes * 3) / 4)).toString('base64')
  return Array.from({ length: attributes }, (_, index) => [
    `a${index}`,
    text.slice(index * length, (index + 1) * length),
  ])
}

/** Creates sessions as fast as another member takes them in. The ids of the first `keep`. */
export async function createSessions(cluster: Cluster, shape: SessionShape, keep: number): Promise<string[]> {
  const batch = Math.max(1, Math.min(BATCH_MAX, Math.floor(BATCH_BYTES / shape.bytes)))
  const ids: string[] = []
  let before: Promise<unknown> | undefined
  const { sessions } = cluster
  for (let i = 1; i <= shape.sessions; i++) {
    const session = sessions.create({ deferred: true, attributes: attributesOf(shape) })
    if (ids.length < keep) ids.push(session.id)
    const last = i % batch === 0 || i === shape.sessions
    const receipt = sessions.commit(session, { ack: last ? 'applied' : 'none', copies: 'all', ackTimeoutMs: 30_000 })
    if (!last) continue
    await before
    before = receipt
  }
  await before
  return ids
}

const FROM_ONE = { ack: 'applied', copies: 1, ackTimeoutMs: 10_000 } as const
const FROM_ALL = { ack: 'received', copies: 'all', ackTimeoutMs: 10_000 } as const

interface Sample {
  readonly at: number
  readonly ms: number
  readonly all: boolean
  readonly met: boolean
}

/**
 * Writes at a steady rate, and times until what is written is acknowledged: every other write as applied by one other
 * member, the others as received by all.
 */
export class SteadyWriter {
  readonly #cluster: Cluster
  readonly #ids: readonly string[]
  readonly #perSecond: number
  readonly #now: () => number
  readonly #samples: Sample[] = []
  readonly #timer: NodeJS.Timeout
  readonly #startedAt: number
  #written = 0

  constructor(cluster: Cluster, ids: readonly string[], perSecond: number, now: () => number) {
    this.#cluster = cluster
    this.#ids = ids
    this.#perSecond = perSecond
    this.#now = now
    this.#startedAt = now()
    this.#timer = setInterval(() => this.#write(), 1)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** Waits of the writes that were due between two times, ascending, and how many of these were not acknowledged. */
  waits(from: number, to: number): { waits: number[]; waitsForAll: number[]; short: number; written: number } {
    const samples = this.#samples.filter(({ at }) => at >= from && at < to).sort((a, b) => a.ms - b.ms)
    const ofOne = samples.filter(({ all }) => !all).map(({ ms }) => ms)
    const ofAll = samples.filter(({ all }) => all).map(({ ms }) => ms)
    return { waits: ofOne, waitsForAll: ofAll, short: samples.filter(({ met }) => !met).length, written: this.#written }
  }

  /** A write is timed from when it was due, so that a pause of this process counts too. */
  #write(): void {
    const due = Math.floor(((this.#now() - this.#startedAt) * this.#perSecond) / 1_000)
    while (this.#written < due) {
      const at = this.#startedAt + (this.#written * 1_000) / this.#perSecond
      const id = this.#ids[this.#written % this.#ids.length] as string
      const session = this.#cluster.sessions.find(id)
      if (session === undefined) throw new Error(`Session ${id} is gone`)
      session.set('live', this.#written)
      const all = this.#written++ % 2 === 1
      const wanted = all ? FROM_ALL : FROM_ONE
      const receipt = this.#cluster.sessions.commit(session, wanted)
      receipt?.then(({ outcome }) => {
        this.#samples.push({ at, ms: this.#now() - at, all, met: outcome === 'met' })
      })
    }
  }
}
