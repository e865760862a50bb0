import type { Clock } from '../../runtime/runtime.js'
import type { Interceptor } from '../interceptor.js'

/** What passed in one direction. A message to three members counts three times. */
export interface Flow {
  readonly messages: number
  readonly bytes: number
  /** Averages over the last whole window. */
  readonly messagesPerSecond: number
  readonly bytesPerSecond: number
}

/** Counters at one moment. */
export interface ThroughputSnapshot {
  readonly out: Flow
  readonly in: Flow
  /** Messages in that were not applied. */
  readonly notApplied: number
}

/** The throughput interceptor, with its counters. */
export interface ThroughputInterceptor extends Interceptor {
  snapshot(): ThroughputSnapshot
}

class FlowCounter {
  messages = 0
  bytes = 0
  #windowStartMs = 0
  #messagesAtStart = 0
  #bytesAtStart = 0
  #messagesPerSecond = 0
  #bytesPerSecond = 0

  count(messages: number, bytes: number): void {
    this.messages += messages
    this.bytes += bytes
  }

  roll(nowMs: number, windowMs: number): void {
    const elapsedMs = nowMs - this.#windowStartMs
    if (elapsedMs < windowMs) return
    this.#messagesPerSecond = ((this.messages - this.#messagesAtStart) * 1_000) / elapsedMs
    this.#bytesPerSecond = ((this.bytes - this.#bytesAtStart) * 1_000) / elapsedMs
    this.restart(nowMs)
  }

  restart(nowMs: number): void {
    this.#windowStartMs = nowMs
    this.#messagesAtStart = this.messages
    this.#bytesAtStart = this.bytes
  }

  flow(): Flow {
    const { messages, bytes } = this
    return { messages, bytes, messagesPerSecond: this.#messagesPerSecond, bytesPerSecond: this.#bytesPerSecond }
  }
}

/**
 * Counts messages and payload bytes that pass, as Tribes' ThroughputInterceptor does.
 *
 * @param options `windowMs`: time over which the rates are averaged, default 10,000
 */
export function throughput(options: { readonly windowMs?: number } = {}): ThroughputInterceptor {
  const { windowMs = 10_000 } = options
  const out = new FlowCounter()
  const incoming = new FlowCounter()
  let clock: Clock | undefined
  let notApplied = 0

  const roll = (): void => {
    if (!clock) return
    const nowMs = clock.monotonic()
    out.roll(nowMs, windowMs)
    incoming.roll(nowMs, windowMs)
  }
  return {
    name: 'throughput',
    start(context) {
      clock = context.clock
      out.restart(clock.monotonic())
      incoming.restart(clock.monotonic())
    },
    send(message, next) {
      roll()
      out.count(message.to.length, message.payload.length * message.to.length)
      next(message)
    },
    receive(message, from, next) {
      roll()
      incoming.count(1, message.payload.length)
      const outcome = next(message, from)
      if (outcome !== 'applied') notApplied++
      return outcome
    },
    snapshot() {
      roll()
      return { out: out.flow(), in: incoming.flow(), notApplied }
    },
  }
}
