import { custom, type OptionRule, wholeNumber } from '../options.js'

/** Of how many members must acknowledge. */
export const COPIES_RULE: OptionRule<number | 'all'> = custom<number | 'all'>(
  1,
  "a whole number from 0, or 'all'",
  value => value === 'all' || (Number.isSafeInteger(value) && (value as number) >= 0),
)

/** Of how long a receipt waits, in milliseconds: what a timer can wait. */
export const RECEIPT_TIMEOUT_RULE: OptionRule<number> = wholeNumber(1_000, 1, 2_147_483_647)
