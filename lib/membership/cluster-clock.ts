import type { MemberId } from './member.js'

/** What bounds the cluster clock. */
export interface ClusterClockOptions {
  /** The clock moves towards its peers by at most this many milliseconds a second. */
  readonly slewMsPerSecond: number
  /** Settled clocks that differ by more than this many milliseconds never meet. */
  readonly skewMaxMs: number
  /** Round trips kept per peer; the fastest counts. */
  readonly samplesMax: number
  /** Peers remembered. */
  readonly peersMax: number
}

/** The usual bounds. */
export const clusterClockDefaults: ClusterClockOptions = {
  slewMsPerSecond: 1,
  skewMaxMs: 10_000,
  samplesMax: 8,
  peersMax: 1_024,
}

/** One reading of a peer's clock. Times of our own are monotonic milliseconds. */
export interface ClockSample {
  readonly sentMs: number
  readonly receivedMs: number
  /** The peer's cluster time somewhere between the two. */
  readonly peerTimeMs: number
}

interface Reading {
  readonly roundTripMs: number
  /** Peer's cluster time minus our un-slewed time base. */
  readonly offsetMs: number
}

interface Peer {
  settled: boolean
  readonly readings: Reading[]
}

/**
 * The time the group agrees on: wall clock at start + monotonic time since + an offset. Pure. Invariant: once settled
 * it never steps, it only runs faster or slower by the slew; so neither an NTP step nor `date -s` reaches a stamp.
 * The offset to a peer is taken from the fastest of the last round trips (Cristian 1989).
 */
export class ClusterClock {
  readonly #options: ClusterClockOptions
  readonly #baseMs: number
  readonly #peers = new Map<MemberId, Peer>()
  #offsetMs = 0
  #targetMs = 0
  #slewedAtMs: number
  #settled = false

  /** @param wallMs the host's wall clock, read once; @param monotonicMs the monotonic clock at that instant */
  constructor(wallMs: number, monotonicMs: number, options: ClusterClockOptions = clusterClockDefaults) {
    this.#options = options
    this.#baseMs = wallMs - monotonicMs
    this.#slewedAtMs = monotonicMs
  }

  /** Whether the time is the group's and may no longer be stepped. */
  get settled(): boolean {
    return this.#settled
  }

  /** Cluster time in whole milliseconds since the epoch. */
  time(nowMs: number): number {
    this.#slew(nowMs)
    return Math.floor(this.#baseMs + nowMs + this.#offsetMs)
  }

  /** Milliseconds `peerTimeMs` is ahead of our own time. */
  aheadMs(peerTimeMs: number, nowMs: number): number {
    return peerTimeMs - this.time(nowMs)
  }

  /** Whether a settled peer's time is too far from our own settled time for the two to meet. */
  diverges(peerTimeMs: number, peerSettled: boolean, nowMs: number): boolean {
    return this.#settled && peerSettled && Math.abs(this.aheadMs(peerTimeMs, nowMs)) > this.#options.skewMaxMs
  }

  /** Takes a reading of a peer. Readings of a settled clock that differ too much are ignored; false then. */
  sample(id: MemberId, peerSettled: boolean, sample: ClockSample): boolean {
    if (!Number.isFinite(sample.peerTimeMs) || sample.receivedMs < sample.sentMs) return false
    if (this.diverges(sample.peerTimeMs, peerSettled, sample.receivedMs)) return false
    let peer = this.#peers.get(id)
    if (!peer) {
      if (this.#peers.size >= this.#options.peersMax) return false
      peer = { settled: peerSettled, readings: [] }
      this.#peers.set(id, peer)
    }
    if (peerSettled && !peer.settled) {
      // What it said before it settled may have been stepped since.
      peer.settled = true
      peer.readings.length = 0
    }
    const roundTripMs = sample.receivedMs - sample.sentMs
    const offsetMs = sample.peerTimeMs + roundTripMs / 2 - (this.#baseMs + sample.receivedMs)
    peer.readings.push({ roundTripMs, offsetMs })
    if (peer.readings.length > this.#options.samplesMax) peer.readings.shift()
    this.#retarget(sample.receivedMs)
    return true
  }

  /** The member is gone: its clock no longer counts. */
  forget(id: MemberId): void {
    this.#peers.delete(id)
  }

  /**
   * Ends the joining: adopts the median of the settled peers, else the upper median of all and ourselves (so that two
   * newcomers agree on the later clock), else keeps the own time. Does nothing when settled.
   */
  settle(nowMs: number): void {
    if (this.#settled) return
    this.#slew(nowMs)
    const settled = this.#offsets(true)
    this.#offsetMs = settled.length > 0 ? median(settled) : median([0, ...this.#offsets(false)])
    this.#targetMs = this.#offsetMs
    this.#settled = true
    for (const peer of this.#peers.values()) if (!peer.settled) peer.readings.length = 0
  }

  #retarget(nowMs: number): void {
    if (!this.#settled) return
    this.#slew(nowMs)
    // Our own clock has a vote too; a majority that agrees pulls the rest, nobody chases one straggler.
    const { skewMaxMs } = this.#options
    const near = this.#offsets(true).filter(offset => Math.abs(offset - this.#offsetMs) <= skewMaxMs)
    this.#targetMs = near.length === 0 ? this.#offsetMs : median([this.#offsetMs, ...near])
  }

  #offsets(settledOnly: boolean): number[] {
    const offsets: number[] = []
    for (const peer of this.#peers.values()) {
      if (peer.readings.length === 0 || (settledOnly && !peer.settled)) continue
      offsets.push(peer.readings.reduce((best, r) => (r.roundTripMs <= best.roundTripMs ? r : best)).offsetMs)
    }
    return offsets
  }

  #slew(nowMs: number): void {
    const elapsedMs = nowMs - this.#slewedAtMs
    if (elapsedMs <= 0) return
    this.#slewedAtMs = nowMs
    const stepMs = (elapsedMs * this.#options.slewMsPerSecond) / 1_000
    const awayMs = this.#targetMs - this.#offsetMs
    this.#offsetMs += Math.max(-stepMs, Math.min(stepMs, awayMs))
  }
}

/** The upper median. */
function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}
