import { encodeMessage } from '../../../lib/replication/codec.js'
import type { ReplicationMessage } from '../../../lib/replication/messages.js'
import { Replica } from '../../../lib/replication/replica.js'
import { MAX_INACTIVE, type RecordChange, type Stamp } from '../../../lib/replication/replica-contract.js'
import type { ReplicationRules } from '../../../lib/replication/replication-rules.js'
import { digestHash } from '../../../lib/replication/seen-set.js'
import { compareStamps } from '../../../lib/replication/stamp.js'
import { receiveLent } from '../../helpers/lent.js'

/** A broken promise, with what was broken. */
export class BrokenPromise extends Error {}

/** What one run did. */
export type RunFigures = Record<string, number>

interface Node {
  readonly index: number
  readonly id: string
  readonly replica: Replica
  readonly skewMs: number
  readonly links: Map<number, { id: string | undefined; goodAtMs: number }>
  up: boolean
  paused: boolean
  disturbedAtMs: number
  readonly inbox: (() => void)[]
}

interface Acked {
  readonly key: string
  readonly stamp: Stamp
  readonly names: readonly string[]
  readonly holders: ReadonlySet<string>
}

const RUN_MS = 4_000
const END_MS = RUN_MS + 12_000
const IDLE_MS = 1_000

/**
 * One seeded life of a small cluster on a network that loses, repeats, reorders and splits, with crashes, restarts,
 * pauses and skewed clocks. Time is virtual; every message passes the codec. Throws BrokenPromise.
 */
export function runLossyNetwork(seed: number, rules: Partial<ReplicationRules> = {}): RunFigures {
  const random = mulberry32(seed)
  const below = (n: number): number => Math.floor(random() * n)
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!
  const count = 3 + below(3)
  const ringBytes = 600 + below(3_000)
  const dropRate = random() < 0.3 ? 0 : random() * 0.25
  const repeatRate = random() * 0.15
  const delayMaxMs = 1 + below(40)
  const figures: RunFigures = {}
  const tally = (name: string, by = 1): void => {
    figures[name] = (figures[name] ?? 0) + by
  }

  let now = 0
  let lives = 0
  const events = new EventHeap()
  const at = (time: number, run: () => void): void => events.push(time, run)
  const cut = new Set<string>()
  const nodes: Node[] = []
  const buried = new Map<string, Set<string>>()
  const invalidated = new Set<string>()
  const expired = new Set<string>()
  const acked: Acked[] = []
  const burials = new Map<string, { readonly origin: string; readonly seq: number }>()
  const asked = new Map<string, readonly string[]>()
  const singles = new Set<string>()
  const pins = new Map<string, string>()
  const pinned = new Set<string>()
  const fail = (what: string): never => {
    throw new BrokenPromise(`seed ${seed} at ${now}: ${what}`)
  }

  function start(index: number): Node {
    const id = (++lives).toString(16).padStart(8, '0').repeat(4)
    const skewMs = below(400) - 200
    const waiting = new Map<number, { copies: number; holders: Set<string>; acked: Acked }>()
    const deliver = (to: Node, bytes: Uint8Array, message: ReplicationMessage, ack: boolean): void => {
      const outcome = receiveLent(to.replica, bytes, id)
      if (!ack || outcome !== 'applied' || message.kind !== 'delta') return
      const { seq } = message.delta.stamp
      travel(to, node, () => {
        const wait = waiting.get(seq)
        if (wait === undefined) return
        wait.holders.add(to.id)
        if (wait.holders.size <= wait.copies) return
        waiting.delete(seq)
        acked.push({ ...wait.acked, holders: new Set(wait.holders) })
        tally('acked')
      })
    }
    const replica = new Replica(
      {
        id,
        name: `n${index}`,
        send: (to, message, options) => {
          if (message.kind === 'delta' && message.delta.stamp.origin === id) originated(node, message, waiting, options)
          if (message.kind === 'check' && to !== 'all') {
            for (const { key } of message.entries) asked.set(`${id} ${key}`, to)
          }
          const bytes = encodeMessage(message)
          for (const other of nodes) {
            if (other.index === index || (to !== 'all' && !to.includes(other.id))) continue
            if (to === 'all' && node.links.get(other.index)?.id !== other.id) continue
            tally('messages')
            travel(node, other, () => deliver(other, bytes, message, options?.ack === 'applied'))
          }
        },
        monotonic: () => now,
        clusterTime: () => 1_000_000 + now + skewMs,
        random: { uint32: () => below(2 ** 32) },
      },
      {
        tickMs: 20,
        joinTimeoutMs: 300,
        digestIntervalMs: 40,
        ringBytes,
        reconcileTimeoutMs: 100,
        touchFlushMs: 50,
        granularityMinMs: 20,
        stallFenceMs: 150,
        aloneAfterStallMs: 100,
        checkTimeoutMs: 100,
        chunkBytes: 700,
        rules,
      },
      { changed: change => observe(node, change) },
    )
    const node: Node = {
      index,
      id,
      replica,
      skewMs,
      links: new Map(),
      up: true,
      paused: false,
      disturbedAtMs: now,
      inbox: [],
    }
    at(now + below(20), () => beat(node))
    return node
  }

  function originated(
    node: Node,
    message: Extract<ReplicationMessage, { kind: 'delta' }>,
    waiting: Map<number, { copies: number; holders: Set<string>; acked: Acked }>,
    options: { ack?: string | undefined; copies?: number | 'all' | undefined } | undefined,
  ): void {
    const { delta } = message
    if (delta.kind === 'expire') {
      tally('expired')
      expired.add(delta.key)
      const { limit } = delta
      for (const other of nodes) {
        const link = node.links.get(other.index)
        if (other === node || link?.id !== other.id || other.paused || !other.up || !other.replica.ready) continue
        const wasAsked = asked.get(`${node.id} ${delta.key}`)?.includes(other.id) ?? false
        if (!wasAsked && rules.checkBeforeExpire !== false) continue
        if (now - other.disturbedAtMs < 600 || now - node.disturbedAtMs < 600) continue
        const use = other.replica.inspect(delta.key)
        const idle = other.replica.idleMs(delta.key)
        if (use === undefined || idle === undefined || limit === undefined || use.access.origin !== other.id) continue
        if (idle < IDLE_MS - 100 && idle > 2 * delayMaxMs + 450) fail(`expiry of ${delta.key} in use`)
      }
    }
    if (options?.ack === 'applied') {
      const record = { key: delta.key, stamp: delta.stamp, names: [...delta.writes.keys()], holders: new Set<string>() }
      waiting.set(delta.stamp.seq, { copies: Number(options.copies), holders: new Set([node.id]), acked: record })
    }
  }

  function travel(from: Node, to: Node, arrive: () => void): void {
    const once = (): void =>
      at(now + 1 + below(delayMaxMs), () => {
        if (cut.has(`${from.index}>${to.index}`) || !to.up || nodes[to.index] !== to) return
        if (to.paused) to.inbox.push(arrive)
        else arrive()
      })
    if (random() >= dropRate) once()
    else tally('dropped')
    if (random() < repeatRate) once()
  }

  /** Promises that hold at every instant. */
  function observe(node: Node, change: RecordChange): void {
    const { key } = change
    if (change.kind === 'removed') {
      if (change.cause === 'local' && change.reason === 'expired') expired.add(key)
      if (!invalidated.has(key) && !expired.has(key)) fail(`${key} vanished at ${node.index}`)
      if (invalidated.has(key) && change.reason === 'invalidated') {
        const lives = buried.get(key) ?? new Set()
        buried.set(key, lives.add(node.id))
      }
      return
    }
    if (buried.get(key)?.has(node.id) && !expired.has(key)) fail(`${key} came back at ${node.index}`)
    const { replica } = node
    const a = replica.stamp(key, 'a')
    const b = replica.stamp(key, 'b')
    if (a === undefined || b === undefined) return fail(`half of ${key} at ${node.index}`)
    if (singles.has(key) && compareStamps(a, b) !== 0) fail(`torn delta in ${key} at ${node.index}`)
    const w = replica.attribute(key, 'w')
    if (w === undefined) return
    const [origin, seq] = Buffer.from(w).toString().split('#')
    const applied = replica.inspect(key)!.context.get(origin!) ?? 0
    if (applied < Number(seq)) fail(`effect without cause in ${key} at ${node.index}`)
  }

  function beat(node: Node): void {
    if (!node.up) return
    if (!node.paused) {
      for (const other of nodes) if (other !== node) membership(node, other)
      node.replica.tick()
      if (node.replica.stats().divergences > 0) fail(`equal seen-sets, different records at ${node.index}`)
      for (const [key, { origin, seq }] of burials) {
        if (node.replica.has(key) && node.replica.seen(origin, seq)) fail(`${key} outlived its end at ${node.index}`)
      }
      const advert = node.replica.advertise()
      for (const other of nodes) {
        if (other === node) continue
        travel(node, other, () => other.replica.advertised(advert, node.id))
      }
    }
    at(now + 15 + below(10), () => beat(node))
  }

  function membership(node: Node, other: Node): void {
    const link = node.links.get(other.index) ?? { id: undefined, goodAtMs: now }
    node.links.set(other.index, link)
    const broken = !other.up || cut.has(`${node.index}>${other.index}`) || cut.has(`${other.index}>${node.index}`)
    if (!broken) link.goodAtMs = now
    const gone = link.id !== undefined && (link.id !== other.id || now - link.goodAtMs > 150)
    if (gone) {
      const id = link.id!
      link.id = undefined
      node.replica.memberDisappeared({ id })
    }
    if (broken || link.id !== undefined) return
    link.id = other.id
    node.replica.memberAdded({ id: other.id, name: `n${other.index}`, host: '127.0.0.1', port: 1 })
  }

  function operate(): void {
    if (now < RUN_MS) at(now + 1 + below(30), operate)
    const node = pick(nodes)
    const { replica } = node
    if (!node.up || node.paused || !replica.ready) return
    const keys = [...replica.keys()]
    const dice = random()
    const send = random() < 0.4 ? { ack: 'applied' as const, copies: 1 + below(count - 1) } : {}
    tally('operations')
    if (dice < 0.2 || keys.length === 0) {
      const single = random() < 0.5
      const idle = text(String(IDLE_MS / 1_000))
      nextIsSingle(replica, single)
      const { key } = replica.create(
        new Map([
          ['a', text('1')],
          ['b', text('1')],
          [MAX_INACTIVE, idle],
        ]),
        send,
      )
      if (random() < 0.15) pinned.add(key)
      return
    }
    const key = pick(keys)
    if (dice < 0.3) replica.touch(key)
    else if (dice < 0.37) {
      if (pinned.has(key)) return
      invalidated.add(key)
      burials.set(key, replica.invalidate(key)!.dot)
    } else modify(replica, key, send)
  }

  /** The key of the next record is known before it is created, so that its first change can be judged. */
  function nextIsSingle(replica: Replica, single: boolean): void {
    const own = replica.digest().find(entry => entry.origin === replica.id)
    if (single) singles.add(`${replica.id}#${(own?.base ?? 0) + 1}`)
  }

  function modify(replica: Replica, key: string, send: object): void {
    const a = replica.stamp(key, 'a')!
    const value = text(String(now))
    if (singles.has(key)) {
      if (a.origin === replica.id)
        replica.write(
          key,
          new Map([
            ['a', value],
            ['b', value],
          ]),
          send,
        )
      return
    }
    if (random() < 0.4) replica.write(key, new Map([['w', text(`${a.origin}#${a.seq}`)]]), send)
    else if (random() < 0.3) replica.write(key, new Map([[`x${below(3)}`, random() < 0.5 ? undefined : value]]), send)
    else replica.write(key, new Map([['a', value]]), send)
  }

  function pin(): void {
    for (const node of nodes) {
      if (!node.up || node.paused || !node.replica.ready) continue
      for (const key of pinned) {
        if (!key.startsWith(`${node.id}#`) || !node.replica.has(key)) continue
        pins.set(key, node.id)
        node.replica.touch(key)
      }
    }
    at(now + 60, pin)
  }

  function disturb(): void {
    if (now < RUN_MS) at(now + 60 + below(250), disturb)
    const dice = random()
    const node = pick(nodes)
    if (dice < 0.3) {
      if (!node.up || nodes.filter(other => other.up && other.replica.ready).length < 2) return
      tally('crashes')
      node.up = false
      at(now + 50 + below(400), () => {
        nodes[node.index] = start(node.index)
      })
    } else if (dice < 0.8) {
      tally('partitions')
      const side = new Set(nodes.filter(() => random() < 0.5).map(other => other.index))
      const oneWay = random() < 0.3
      const links: string[] = []
      for (const a of side) {
        for (const b of nodes) {
          if (side.has(b.index)) continue
          links.push(`${a}>${b.index}`)
          if (!oneWay) links.push(`${b.index}>${a}`)
        }
      }
      for (const link of links) cut.add(link)
      at(now + 50 + below(900), () => heal(links))
    } else if (node.up && !node.paused) {
      tally('pauses')
      node.paused = true
      at(now + below(400), () => {
        node.paused = false
        node.disturbedAtMs = now
        for (const arrive of node.inbox.splice(0)) if (node.up) arrive()
      })
    }
  }

  function heal(links: Iterable<string>): void {
    for (const link of [...links]) cut.delete(link)
    for (const node of nodes) node.disturbedAtMs = now
  }

  for (let i = 0; i < count; i++) nodes.push(start(i))
  at(800, operate)
  at(850, pin)
  at(900, disturb)
  at(RUN_MS + 1_500, () => heal(cut))
  events.run(END_MS, time => {
    now = time
  })

  const alive = nodes.filter(node => node.up)
  const ids = new Set(alive.map(node => node.id))
  for (const { replica, index } of alive) if (!replica.ready) fail(`node ${index} never became ready`)
  const first = alive[0]!.replica
  for (const { replica, index } of alive) {
    if (digestHash(replica.digest()) !== digestHash(first.digest())) fail(`digests differ at ${index}`)
    if (replica.canonicalRecords().join('\n') !== first.canonicalRecords().join('\n')) fail(`no convergence: ${index}`)
    for (const [key, lives] of buried) {
      if ([...lives].some(id => ids.has(id)) && replica.has(key) && !expired.has(key)) fail(`${key} came back`)
    }
    for (const [key, id] of pins) if (ids.has(id) && !replica.has(key)) fail(`${key} in use was lost at ${index}`)
    for (const key of replica.keys()) if (!ids.has(pins.get(key) ?? '')) fail(`idle ${key} never expired`)
    const stats = replica.stats()
    if (stats.fetching > 0 || stats.touchesPending > 1_000 || stats.reconciling) fail(`not quiet at ${index}`)
    for (const [name, value] of Object.entries(stats)) if (typeof value === 'number') tally(name, value)
  }
  for (const { key, stamp, names, holders } of acked) {
    if (invalidated.has(key) || expired.has(key) || ![...holders].some(id => ids.has(id))) continue
    if (!first.has(key)) fail(`acknowledged ${key} was lost`)
    for (const name of names) {
      const held = first.stamp(key, name)
      if (held === undefined || compareStamps(held, stamp) < 0) fail(`acknowledged write to ${key} was lost`)
    }
  }
  return figures
}

function text(value: string): Uint8Array {
  return new Uint8Array(Buffer.from(value))
}

function mulberry32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let value = Math.imul(state ^ (state >>> 15), 1 | state)
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value
    return ((value ^ (value >>> 14)) >>> 0) / 4_294_967_296
  }
}

class EventHeap {
  #heap: { readonly time: number; readonly order: number; readonly run: () => void }[] = []
  #order = 0

  push(time: number, run: () => void): void {
    const heap = this.#heap
    heap.push({ time, order: this.#order++, run })
    for (let child = heap.length - 1; child > 0; ) {
      const parent = (child - 1) >> 1
      if (!this.#less(child, parent)) break
      this.#swap(child, parent)
      child = parent
    }
  }

  run(until: number, advance: (time: number) => void): void {
    while (this.#heap.length > 0 && this.#heap[0]!.time <= until) {
      const event = this.#pop()
      advance(event.time)
      event.run()
    }
  }

  #pop(): { readonly time: number; readonly run: () => void } {
    const heap = this.#heap
    const top = heap[0]!
    const last = heap.pop()!
    if (heap.length === 0) return top
    heap[0] = last
    for (let parent = 0; ; ) {
      let child = 2 * parent + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && this.#less(child + 1, child)) child++
      if (!this.#less(child, parent)) break
      this.#swap(child, parent)
      parent = child
    }
    return top
  }

  #less(a: number, b: number): boolean {
    const left = this.#heap[a]!
    const right = this.#heap[b]!
    return left.time < right.time || (left.time === right.time && left.order < right.order)
  }

  #swap(a: number, b: number): void {
    const held = this.#heap[a]!
    this.#heap[a] = this.#heap[b]!
    this.#heap[b] = held
  }
}
