import { fork } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import test from 'ava'
import { createCluster } from '../../lib/index.js'
import { until } from '../helpers/loopback-cluster.js'

const MEMBER = fileURLToPath(new URL('../helpers/member-process.js', import.meta.url))
const DELTAS = 100_000
const SESSIONS = 1_000
const BURST = 500

test('a frozen member costs bounded memory, delays nobody, and is whole again after it thaws', async t => {
  const group = `test-${randomBytes(6).toString('hex')}`
  const port = randomInt(20_000, 60_000)
  const options = { group, membership: { bind: '127.0.0.1', port }, receiver: { address: '127.0.0.1', port: 0 } }
  const here = await createCluster({ ...options, name: 'here', sessions: { ack: 'none' } })
  const other = await createCluster({ ...options, name: 'other' })
  t.teardown(() => Promise.all([here.leave(), other.leave()]))
  const child = fork(MEMBER, ['frozen', group, String(port)])
  t.teardown(() => child.kill('SIGKILL'))
  await once(child, 'message')
  await until(() => here.members.length === 2)

  const sessions = Array.from({ length: SESSIONS }, () => here.sessions.create())
  process.kill(child.pid ?? 0, 'SIGSTOP')
  const value = 'x'.repeat(200)
  const beforeMiB = heldMiB()
  let slowestMs = 0
  for (let i = 0; i < DELTAS; i++) {
    const session = sessions[i % SESSIONS]
    session?.set('value', value + i)
    if (session) here.sessions.commit(session)
    if (i % BURST !== BURST - 1) continue
    const startedMs = performance.now()
    sessions[0]?.set('probe', i)
    if (sessions[0]) await here.sessions.commit(sessions[0], { ack: 'applied', copies: 1 })
    slowestMs = Math.max(slowestMs, performance.now() - startedMs)
  }
  const grownMiB = heldMiB() - beforeMiB
  t.log(`${grownMiB.toFixed(0)} MiB more in use, slowest acknowledged write ${slowestMs.toFixed(0)} ms`)
  t.true(grownMiB < 250, `${grownMiB} MiB`)
  t.true(slowestMs < 1_000, `${slowestMs} ms`)

  process.kill(child.pid ?? 0, 'SIGCONT')
  const wanted = (): string => JSON.stringify(here.replication.replica.bucketHashes())
  let got = ''
  for (let round = 0; round < 100 && got !== wanted(); round++) {
    child.send({})
    const [answer] = (await once(child, 'message')) as [{ records: string }]
    got = answer.records
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  t.true(got === wanted(), 'the copies are equal')
})

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Memory in use after a full collection. */
function heldMiB(): number {
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return (heapUsed + external) / 2 ** 20
}
