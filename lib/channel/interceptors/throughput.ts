import { positive, type RulesOf, resolve } from '../../options.js'
import type { Clock } from '../../runtime/runtime.js'
import { type Interceptor, payloadBytes } from '../interceptor.js'

/** What passed in one direction since the start. A message to three members counts three times. */
export interface Flow {
  /** Messages, once for each receiver. */
  readonly messages: number
  /** Payload bytes, before encoding into frames. */
  readonly bytes: number
  /** Average over the last whole window; 0 before its end. */
  readonly messagesPerSecond: number
  /** The same for payload bytes. */
  readonly bytesPerSecond: number
}

/** Counters at one moment, after Tribes' ThroughputInterceptor; a copy, which does not change any more. */
export interface ThroughputSnapshot {
  /** Messages on their way to the network; those an interceptor below drops are counted, too. */
  readonly out: Flow
  /** Messages from the network. */
  readonly in: Flow
  /** Messages in that their listener, or an interceptor above, rejected or deferred. */
  readonly notApplied: number
}

/** The throughput interceptor, with its counters. */
export interface ThroughputInterceptor extends Interceptor {
  /** The counters now. */
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

const RULES: RulesOf<{ windowMs: number }> = {
  windowMs: positive(10_000),
}

/**
 * Counts messages and payload bytes that pass, as Tribes' ThroughputInterceptor does, and changes nothing. Make one for
 * each channel. A list of interceptors replaces the default one, so name those too.
 *
 * @param options `windowMs`: milliseconds over which the rates are averaged, default 10,000; a window ends with the
 *   first message, or snapshot, after it
 * @throws {InvalidOptionError} which option, what is allowed, what came
 */
export function throughput(options: { readonly windowMs?: number } = {}): ThroughputInterceptor {
  const { windowMs } = resolve(RULES, options)
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
    takesRest: true,
    start(context) {
      clock = context.clock
      out.restart(clock.monotonic())
      incoming.restart(clock.monotonic())
    },
    send(message, next) {
      roll()
      out.count(message.to.length, payloadBytes(message) * message.to.length)
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
