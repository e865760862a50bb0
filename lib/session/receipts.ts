import type { SendReceipt } from '../channel/topic.js'
import { SendError } from '../errors.js'
import type { WriteOptions } from '../replication/replica-contract.js'
import { checkReceiptOptions, type DeltaManagerOptions } from './delta-manager-options.js'
import type { CommitOptions } from './session-manager.js'

/** What receipts wait for unless a commit says otherwise. */
export type ReceiptOptions = Pick<Required<DeltaManagerOptions>, 'ack' | 'copies' | 'ackTimeoutMs' | 'onShortfall'>

/** Promises of receipts that nobody was asked for: few, as they are shared. */
const atOnce = new WeakSet<Promise<unknown>>()

/** Whether a receipt was there when its promise was made, so that nobody need wait for it. */
export function isAtOnce(receipt: Promise<unknown>): boolean {
  return atOnce.has(receipt)
}

/**
 * Makes the promise that a write's receipt is: most are met before anybody could wait for them. `Subject`: what was
 * written, to be named when a receipt falls short.
 */
export class Receipts<Subject> {
  readonly options: ReceiptOptions
  readonly #fellShort: (receipt: SendReceipt, subject: Subject) => void
  /** The receipt in which nobody else had a part: of a member that is alone, of a write that nobody acknowledges. */
  #alone: { readonly receipt: SendReceipt; readonly promise: Promise<SendReceipt> } | undefined

  constructor(options: ReceiptOptions, fellShort: (receipt: SendReceipt, subject: Subject) => void) {
    this.options = options
    this.#fellShort = fellShort
  }

  /**
   * The receipt of a write that is about to be issued with it.
   *
   * @throws {InvalidOptionError} for `ack`, `copies`, `ackTimeoutMs` that are none; nothing has happened then
   */
  of(subject: Subject, options: CommitOptions, over?: ReadonlyMap<string, Uint8Array>): PendingReceipt<Subject> {
    checkReceiptOptions(options)
    return new PendingReceipt(this, subject, options, over)
  }

  /** A receipt has come; for {@link PendingReceipt}. */
  settled(receipt: SendReceipt, subject: Subject): void {
    if (receipt.outcome !== 'met') this.#fellShort(receipt, subject)
  }

  isGood({ outcome }: SendReceipt): boolean {
    return outcome === 'met' || this.options.onShortfall === 'report'
  }

  /** One promise for all that say the same; undefined: this one is of its write alone. */
  shared(receipt: SendReceipt): Promise<SendReceipt> | undefined {
    if (!isOfNobody(receipt) || !this.isGood(receipt)) return undefined
    const { outcome, wanted } = this.#alone?.receipt ?? {}
    if (this.#alone === undefined || outcome !== receipt.outcome || wanted !== receipt.wanted) {
      this.#alone = { receipt, promise: Promise.resolve(Object.freeze(receipt)) }
      atOnce.add(this.#alone.promise)
    }
    return this.#alone.promise
  }
}

/**
 * How a write is to be acknowledged, and what comes of it. `over` is apart: where a user checks types without
 * `exactOptionalPropertyTypes`, `Required` also takes `undefined` from its type.
 */
export class PendingReceipt<Subject> implements Required<Omit<WriteOptions, 'over'>>, Pick<WriteOptions, 'over'> {
  readonly ack: Required<WriteOptions>['ack']
  readonly copies: number | 'all'
  readonly timeoutMs: number
  readonly over: ReadonlyMap<string, Uint8Array> | undefined
  readonly settled: (receipt: SendReceipt) => void
  readonly #receipts: Receipts<Subject>
  #receipt: SendReceipt | undefined
  #waiting: ((receipt: SendReceipt) => void) | undefined

  constructor(
    receipts: Receipts<Subject>,
    subject: Subject,
    options: CommitOptions,
    over: ReadonlyMap<string, Uint8Array> | undefined,
  ) {
    const { ack, copies, ackTimeoutMs } = receipts.options
    this.#receipts = receipts
    this.ack = options.ack ?? ack
    this.copies = options.copies ?? copies
    this.timeoutMs = options.ackTimeoutMs ?? ackTimeoutMs
    this.over = over
    this.settled = receipt => {
      receipts.settled(receipt, subject)
      if (this.#waiting === undefined) this.#receipt = receipt
      else this.#waiting(receipt)
    }
  }

  /** To be asked for once, when the write has been issued: what is too large must be thrown and not lost in a promise. */
  promise(): Promise<SendReceipt> {
    const receipts = this.#receipts
    const known = this.#receipt
    const shared = known === undefined ? undefined : receipts.shared(known)
    if (shared !== undefined) return shared
    return known?.outcome === 'met' ? Promise.resolve(known) : this.#promised(known)
  }

  /** By itself, as functions made in it cost all who come by it, not only who needs them. */
  #promised(known: SendReceipt | undefined): Promise<SendReceipt> {
    const receipts = this.#receipts
    const promise = new Promise<SendReceipt>((resolve, reject) => {
      this.#waiting = receipt => {
        if (receipts.isGood(receipt)) return resolve(receipt)
        // Whoever does not look at the receipt has the event; an unhandled rejection would end the process.
        promise.catch(() => {})
        reject(new SendError(receipt.faulty))
      }
    })
    if (known !== undefined) this.#waiting?.(known)
    return promise
  }
}

/** Whether it says no more than what was wanted, and that no other member had a part in it. */
function isOfNobody({ received, applied, faulty }: SendReceipt): boolean {
  return received === 0 && applied === 0 && faulty.length === 0
}
