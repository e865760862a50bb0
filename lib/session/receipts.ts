import type { SendReceipt } from '../channel/topic.js'
import { SendError } from '../errors.js'
import type { IssuedDelta, WriteOptions } from '../replication/replica-contract.js'
import type { DeltaManagerOptions } from './delta-manager-options.js'
import type { CommitOptions } from './session-manager.js'

/** What receipts wait for unless a commit says otherwise. */
export type ReceiptOptions = Pick<Required<DeltaManagerOptions>, 'ack' | 'copies' | 'ackTimeoutMs' | 'onShortfall'>

/** Promises of receipts that nobody was asked for: few, as they are shared. */
const atOnce = new WeakSet<Promise<unknown>>()

/** Whether a receipt was there when its promise was made, so that nobody need wait for it. */
export function isAtOnce(receipt: Promise<unknown>): boolean {
  return atOnce.has(receipt)
}

/** Makes the promise that a write's receipt is: most are met before anybody could wait for them. */
export class Receipts {
  readonly #options: ReceiptOptions
  /** The receipt of a member that is alone. */
  #alone: { readonly receipt: SendReceipt; readonly promise: Promise<SendReceipt> } | undefined

  constructor(options: ReceiptOptions) {
    this.#options = options
  }

  /** Issues a write, and gives its receipt. Undefined: nothing was issued. Throws what `issue` throws. */
  send(
    options: CommitOptions,
    issue: (send: WriteOptions) => IssuedDelta | undefined,
    fellShort: (receipt: SendReceipt) => void,
  ): Promise<SendReceipt> | undefined {
    let receipt: SendReceipt | undefined
    let waiting: ((receipt: SendReceipt) => void) | undefined
    const settled = (result: SendReceipt): void => {
      if (result.outcome !== 'met') fellShort(result)
      if (waiting === undefined) receipt = result
      else waiting(result)
    }
    // Outside of the promise: what is too large to be stored must be thrown, not lost in it.
    const issued = issue({
      ack: options.ack ?? this.#options.ack,
      copies: options.copies ?? this.#options.copies,
      timeoutMs: options.ackTimeoutMs ?? this.#options.ackTimeoutMs,
      settled,
    })
    if (issued === undefined) return undefined
    if (receipt !== undefined && isOfNobody(receipt) && this.#isGood(receipt)) return this.#ofNobody(receipt)
    const known = receipt
    if (known?.outcome === 'met') return Promise.resolve(known)
    const promise = new Promise<SendReceipt>((resolve, reject) => {
      waiting = result => {
        if (this.#isGood(result)) resolve(result)
        else reject(new SendError(result.faulty))
      }
      if (known !== undefined) waiting(known)
    })
    // Whoever does not look at the receipt has the event; an unhandled rejection would end the process.
    promise.catch(() => {})
    return promise
  }

  #isGood({ outcome }: SendReceipt): boolean {
    return outcome === 'met' || this.#options.onShortfall === 'report'
  }

  #ofNobody(receipt: SendReceipt): Promise<SendReceipt> {
    const { outcome, wanted } = this.#alone?.receipt ?? {}
    if (this.#alone === undefined || outcome !== receipt.outcome || wanted !== receipt.wanted) {
      this.#alone = { receipt, promise: Promise.resolve(Object.freeze(receipt)) }
      atOnce.add(this.#alone.promise)
    }
    return this.#alone.promise
  }
}

/** Whether it says no more than what was wanted, and that no other member had a part in it. */
function isOfNobody({ received, applied, faulty }: SendReceipt): boolean {
  return received === 0 && applied === 0 && faulty.length === 0
}
