import { Buffer } from 'node:buffer'
import type { Endpoint, Stream, StreamEnd, StreamHandlers, Timer } from '../runtime/runtime.js'
import type { SimLink } from './sim-link.js'
import type { SimProcess } from './sim-process.js'
import type { StreamContext } from './sim-stream-context.js'

type Content =
  | { readonly kind: 'data'; readonly bytes: Uint8Array }
  | { readonly kind: 'fin' }
  | { readonly kind: 'reset' }

/** What bytes become that were lent. */
const LENT = 0xdb

/** A numbered piece of one direction. */
interface Segment {
  readonly number: number
  readonly content: Content
}

/**
 * One end of a stream. Each end owns the direction away from it: bytes queued by the application, bytes under way or
 * stalled at a cut link, and bytes that arrived at the peer and wait to be read. Everything stays in order.
 */
export class SimStream implements Stream {
  readonly remote: Endpoint
  readonly process: SimProcess
  readonly #context: StreamContext
  readonly #localAddress: string
  peer: SimStream | undefined
  #handlers: StreamHandlers | undefined
  #state: 'connecting' | 'open' | 'ending' | 'closed' = 'connecting'
  #paused = false
  #wantsDrain = false
  // Application to system.
  #queue: Uint8Array[] = []
  #queuedBytes = 0
  // System to peer.
  #unackedBytes = 0
  #lastArrivalMs = 0
  #underWay: Segment[] | undefined
  #stalled: Segment[] = []
  #nextNumber = 0
  // What overtook a stalled piece waits at the peer's system for it.
  #nextArrival = 0
  readonly #early = new Map<number, Content>()
  #ackStalledBytes = 0
  #finSent = false
  #stallTimer: Timer | undefined
  // Peer to here.
  #inbox: Uint8Array[] = []
  #inboxEnd: 'end' | 'reset' | undefined
  #readPending = false

  constructor(context: StreamContext, process: SimProcess, localAddress: string, remote: Endpoint) {
    this.#context = context
    this.process = process
    this.#localAddress = localAddress
    this.remote = remote
    process.atDeath(() => this.die())
  }

  get bufferedBytes(): number {
    return this.#queuedBytes
  }

  get closed(): boolean {
    return this.#state === 'closed'
  }

  /** Gives an accepted or connected end its owner. */
  attach(handlers: StreamHandlers): void {
    this.#handlers = handlers
    this.#signalRead()
  }

  opened(): void {
    if (this.#state !== 'connecting' && this.#state !== 'ending') return
    if (this.#state === 'connecting') this.#state = 'open'
    this.process.enter(() => {
      if (this.#state === 'closed') return
      this.#handlers?.opened?.()
      this.#pump()
    })
  }

  write(bytes: Uint8Array): boolean {
    if (this.#state === 'closed' || this.#state === 'ending') return false
    if (bytes.length > 0) {
      this.#queue.push(bytes)
      this.#queuedBytes += bytes.length
      this.#pump()
    }
    if (this.#queuedBytes < this.#context.limits.highWaterBytes) return true
    this.#wantsDrain = true
    return false
  }

  end(): void {
    if (this.#state === 'closed' || this.#state === 'ending') return
    this.#state = 'ending'
    this.#pump()
  }

  destroy(): void {
    if (this.#state === 'closed') return
    this.#tellPeer(this.#inbox.length > 0 ? { kind: 'reset' } : { kind: 'fin' })
    this.#close('local', true)
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#signalRead()
  }

  /** The stream never opened, or broke. */
  break(end: StreamEnd): void {
    if (this.#state !== 'closed') this.#close(end, true)
  }

  /** The process was killed: the system resets or ends the stream. */
  die(): void {
    if (this.#state === 'closed') return
    if (!this.#context.isDark(this.#localAddress)) this.#lastWords()
    this.#state = 'closed'
    this.#forget()
  }

  #lastWords(): void {
    const orderly = this.#inbox.length === 0 && this.#context.random.chance(0.5)
    this.#tellPeer(orderly ? { kind: 'fin' } : { kind: 'reset' })
  }

  /** Tries again what a cut link held back. */
  retransmit(): void {
    if (this.#linkOut().cut) return
    const stalled = this.#stalled.sort((a, b) => a.number - b.number)
    this.#stalled = []
    for (const segment of stalled) this.#transmit(segment)
    const peer = this.peer
    if (this.#ackStalledBytes > 0 && peer !== undefined) {
      peer.#acknowledged(this.#ackStalledBytes)
      this.#ackStalledBytes = 0
    }
    if (this.#stallTimer !== undefined && this.#unackedBytes === 0) this.#stopStallTimer()
  }

  #linkOut(): SimLink {
    return this.#context.link(this.#localAddress, this.remote.host)
  }

  #pump(): void {
    if (this.peer === undefined || (this.#state !== 'open' && this.#state !== 'ending')) return
    const { windowBytes } = this.#context.limits
    while (this.#queue.length > 0 && this.#unackedBytes < windowBytes) {
      const first = this.#queue[0] as Uint8Array
      const room = windowBytes - this.#unackedBytes
      // A copy, as a system makes one; what it has not taken may not change, and what it has may.
      const bytes = Uint8Array.from(first.length <= room ? first : first.subarray(0, room))
      if (bytes.length === first.length) this.#queue.shift()
      else this.#queue[0] = first.subarray(room)
      this.#queuedBytes -= bytes.length
      this.#unackedBytes += bytes.length
      this.#transmit(this.#numbered({ kind: 'data', bytes }))
    }
    if (this.#wantsDrain && this.#queuedBytes === 0) {
      this.#wantsDrain = false
      this.#later('drain', () => this.#handlers?.drain?.())
    }
    if (this.#state === 'ending' && this.#queue.length === 0 && !this.#finSent) {
      this.#finSent = true
      this.#transmit(this.#numbered({ kind: 'fin' }))
    }
  }

  #numbered(content: Content): Segment {
    return { number: this.#nextNumber++, content }
  }

  #tellPeer(content: Content): void {
    if (this.#finSent && content.kind === 'fin') return
    this.#finSent = true
    if (this.peer === undefined) return
    if (content.kind === 'reset' && this.#linkOut().cut) return
    this.#transmit(this.#numbered(content))
  }

  #transmit(segment: Segment): void {
    const { sim, random } = this.#context
    const link = this.#linkOut()
    if (link.cut) return this.#stall(segment)
    const arrivalMs = Math.max(this.#lastArrivalMs, sim.now + link.delayMs(random))
    if (arrivalMs === this.#lastArrivalMs && this.#underWay !== undefined) {
      this.#underWay.push(segment)
      return
    }
    this.#lastArrivalMs = arrivalMs
    const batch: Segment[] = [segment]
    this.#underWay = batch
    sim.schedule(arrivalMs - sim.now, 'stream', this.remote.host, () => {
      if (this.#underWay === batch) this.#underWay = undefined
      for (const arrived of batch) this.#arrive(arrived)
      const peer = this.peer
      if (peer !== undefined) peer.#signalRead()
    })
  }

  #stall(segment: Segment): void {
    if (this.#context.isDark(this.#localAddress)) return
    this.#stalled.push(segment)
    this.#startStallTimer()
  }

  #startStallTimer(): void {
    this.#stallTimer ??= this.#context.sim.schedule(
      this.#context.limits.stallTimeoutMs,
      'stall',
      this.remote.host,
      () => {
        this.#stallTimer = undefined
        this.break('timeout')
        this.#forget()
      },
    )
  }

  #stopStallTimer(): void {
    this.#stallTimer?.cancel()
    this.#stallTimer = undefined
  }

  #arrive(segment: Segment): void {
    if (this.#linkOut().cut || this.#context.isDark(this.remote.host)) return this.#stall(segment)
    this.#early.set(segment.number, segment.content)
    for (;;) {
      const content = this.#early.get(this.#nextArrival)
      if (content === undefined) return
      this.#early.delete(this.#nextArrival++)
      this.#take(content)
    }
  }

  #take(content: Content): void {
    const peer = this.peer
    if (peer === undefined) return
    if (peer.#state === 'closed') {
      if (content.kind === 'data') peer.#refuse()
      return
    }
    if (content.kind === 'data') {
      const { random, limits } = this.#context
      const { bytes } = content
      if (bytes.length > 1 && random.chance(limits.splitting)) {
        const at = random.between(1, bytes.length - 1)
        peer.#inbox.push(bytes.subarray(0, at), bytes.subarray(at))
      } else peer.#inbox.push(bytes)
      if (this.#context.link(this.remote.host, this.#localAddress).cut) this.#startStallTimer()
    } else if (content.kind === 'fin') peer.#inboxEnd ??= 'end'
    else {
      peer.#inboxEnd = 'reset'
      peer.#inbox = []
    }
  }

  /** Bytes came for a closed end: its system answers with a reset. */
  #refuse(): void {
    const peer = this.peer
    if (peer === undefined || peer.#state === 'closed' || this.#linkOut().cut) return
    const { sim, random } = this.#context
    sim.schedule(this.#linkOut().delayMs(random), 'reset', this.remote.host, () => {
      if (peer.#state === 'closed' || this.#linkOut().cut) return
      peer.#inboxEnd = 'reset'
      peer.#inbox = []
      peer.#signalRead()
    })
  }

  #signalRead(): void {
    if (this.#readPending || this.#handlers === undefined) return
    if (this.#inbox.length === 0 && this.#inboxEnd === undefined) return
    this.#readPending = true
    this.process.enter(() => {
      this.#readPending = false
      this.#read()
    })
  }

  #read(): void {
    const { random } = this.#context
    while (this.#inbox.length > 0 && !this.#paused && this.#state !== 'closed') {
      let bytes = this.#inbox.shift() as Uint8Array
      if (this.#inbox.length > 0 && random.chance(0.5)) {
        bytes = Buffer.concat([bytes, ...this.#inbox])
        this.#inbox = []
      }
      this.#acknowledge(bytes.length)
      this.#hand(bytes)
    }
    if (this.#state === 'closed' || this.#inboxEnd === undefined) return
    if (this.#inboxEnd === 'reset') return this.#close('reset', false)
    if (this.#inbox.length > 0) return
    this.#queue = []
    this.#queuedBytes = 0
    this.#tellPeer({ kind: 'fin' })
    this.#close('end', false)
  }

  /** What is lent is taken back, so that whoever keeps a view of it finds other bytes there. */
  #hand(bytes: Uint8Array): void {
    const handlers = this.#handlers
    if (handlers?.borrows !== true) return handlers?.data(bytes)
    const lent = Buffer.from(bytes)
    handlers.data(lent)
    lent.fill(LENT)
  }

  #acknowledge(bytes: number): void {
    const peer = this.peer
    if (peer === undefined) return
    if (this.#linkOut().cut) this.#ackStalledBytes += bytes
    else peer.#acknowledged(bytes)
  }

  #acknowledged(bytes: number): void {
    this.#unackedBytes -= bytes
    if (this.#unackedBytes === 0 && this.#stalled.length === 0) this.#stopStallTimer()
    if (this.#state !== 'closed') this.#pump()
  }

  #close(end: StreamEnd, later: boolean): void {
    this.#state = 'closed'
    this.#queue = []
    this.#queuedBytes = 0
    this.#inbox = []
    const tell = (): void => this.#handlers?.closed(end)
    if (later) this.#context.sim.schedule(0, 'closed', this.process.host.name, () => this.process.enter(tell))
    else tell()
    this.#forget()
  }

  #forget(): void {
    if (this.#stalled.length > 0) return
    this.#stopStallTimer()
    this.#context.forget(this)
  }

  #later(kind: string, run: () => void): void {
    this.#context.sim.schedule(0, kind, this.process.host.name, () =>
      this.process.enter(() => {
        if (this.#state !== 'closed') run()
      }),
    )
  }
}
