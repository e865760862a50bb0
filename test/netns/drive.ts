import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface, type Interface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { NodeCommand, NodeReply } from './node.js'

const LINK_DOWN_MS = 8_000
const EQUAL_WITHIN_MS = 5_000
const REPLY_WITHIN_MS = 15_000
const POLL_MS = 50

/** One member in its namespace, spoken to in lines. */
class Host {
  readonly #child: ChildProcess
  readonly #lines: Interface

  constructor(namespace: string, name: string, address: string) {
    const program = fileURLToPath(new URL('node.js', import.meta.url))
    const command = ['netns', 'exec', namespace, process.execPath, program, name, address, 'two-hosts']
    this.#child = spawn('ip', command, { stdio: ['pipe', 'pipe', 'inherit'] })
    const { stdout } = this.#child
    assert(stdout)
    this.#lines = createInterface({ input: stdout })
    process.on('exit', () => this.#child.kill('SIGKILL'))
  }

  async reply(): Promise<NodeReply> {
    const [line] = await once(this.#lines, 'line', { signal: AbortSignal.timeout(REPLY_WITHIN_MS) })
    return JSON.parse(line as string) as NodeReply
  }

  ask(command: NodeCommand): Promise<NodeReply> {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`)
    return this.reply()
  }
}

async function main(left: string, right: string, device: string): Promise<void> {
  const a = new Host(left, 'left', '10.99.0.1')
  const b = new Host(right, 'right', '10.99.0.2')
  await Promise.all([a.reply(), b.reply()])
  await until('both see each other', async () => (await members(a)) + (await members(b)) === 2)

  for (const id of ['shared', 'doomed']) await a.ask({ op: 'create', id, values: { start: 'left' } })
  await until('the first sessions are on both', () => equal(a, b, 2))

  execFileSync('ip', ['-n', left, 'link', 'set', device, 'down'])
  console.log('link down')
  const upAt = Date.now() + LINK_DOWN_MS
  await a.ask({ op: 'write', id: 'shared', values: { onlyLeft: '1', both: 'left' } })
  await b.ask({ op: 'write', id: 'shared', values: { onlyRight: '1', both: 'right' } })
  await a.ask({ op: 'create', id: 'fromLeft', values: { by: 'left' } })
  await b.ask({ op: 'create', id: 'fromRight', values: { by: 'right' } })
  await a.ask({ op: 'invalidate', id: 'doomed' })
  await b.ask({ op: 'write', id: 'doomed', values: { late: '1' } })
  await delay(upAt - Date.now())
  assert.equal((await members(a)) + (await members(b)), 0, 'each side noticed that it is alone')

  execFileSync('ip', ['-n', left, 'link', 'set', device, 'up'])
  const healedAt = Date.now()
  console.log('link up')
  await until('the copies are equal', () => equal(a, b, 3))
  console.log(`equal after ${Date.now() - healedAt} ms`)

  const { sessions = {} } = await b.ask({ op: 'dump' })
  assert.deepEqual(Object.keys(sessions), ['fromLeft', 'fromRight', 'shared'])
  const { both, ...rest } = sessions.shared ?? {}
  assert.deepEqual(rest, { onlyLeft: '1', onlyRight: '1', start: 'left' })
  assert(both === 'left' || both === 'right')
}

async function members(host: Host): Promise<number> {
  return (await host.ask({ op: 'dump' })).members.length
}

async function equal(a: Host, b: Host, count: number): Promise<boolean> {
  const [left, right] = await Promise.all([a.ask({ op: 'dump' }), b.ask({ op: 'dump' })])
  const [x, y] = [JSON.stringify(left.sessions), JSON.stringify(right.sessions)]
  return x === y && Object.keys(left.sessions ?? {}).length === count
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + EQUAL_WITHIN_MS
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`Not within ${EQUAL_WITHIN_MS} ms: ${what}`)
    await delay(POLL_MS)
  }
}

const [left = '', right = '', device = ''] = process.argv.slice(2)
main(left, right, device).then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error)
    process.exit(1)
  },
)
