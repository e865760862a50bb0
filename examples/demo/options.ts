import { parseArgs } from 'node:util'

/** The command line of the demo. */
export interface DemoOptions {
  readonly exit: boolean
  readonly json: boolean
  readonly freeze: boolean
  readonly ack: 'none' | 'received' | 'applied'
  readonly kills: number
  readonly sessions: number
}

/** The flags in words. */
export const usage = `npm run demo -- [--exit] [--json] [--ack none|received|applied] [--kills N] [--freeze] [--sessions N]
  --exit      end after the summary; status 1 if anything acknowledged was lost
  --json      the summary as one last line of JSON
  --ack       what a write waits for: nothing, another node has it, another node has merged it (default applied)
  --kills     kill and restart a node this many times (default 1)
  --freeze    stop a node for 12 seconds (SIGSTOP) instead of killing it
  --sessions  clients, each with its own session (default 500, at most 5000)`

/** Reads the flags; throws with a sentence that says what is wrong. */
export function parseOptions(args: readonly string[]): DemoOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      exit: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      freeze: { type: 'boolean', default: false },
      ack: { type: 'string', default: 'applied' },
      kills: { type: 'string', default: '1' },
      sessions: { type: 'string', default: '500' },
    },
  })
  const ack = values.ack
  if (ack !== 'none' && ack !== 'received' && ack !== 'applied') {
    throw new Error(`--ack must be none, received or applied; got ${ack}`)
  }
  return {
    exit: values.exit,
    json: values.json,
    freeze: values.freeze,
    ack,
    kills: wholeNumber('kills', values.kills, 100),
    sessions: wholeNumber('sessions', values.sessions, 5_000),
  }
}

function wholeNumber(name: string, value: string, most: number): number {
  const number = Number(value)
  if (!Number.isInteger(number) || number < 1 || number > most) {
    throw new Error(`--${name} must be a whole number from 1 to ${most}; got ${value}`)
  }
  return number
}
