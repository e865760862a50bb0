import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import test from 'ava'

/** The whole demo, small: three server processes, one killed in the middle of the load and started again. */
test('the demo loses nothing it acknowledged when a server is killed', async t => {
  const { code, output } = await demo('--exit', '--json', '--sessions', '60')
  t.log(output)
  const summary = JSON.parse(output.trim().split('\n').at(-1) ?? '') as Record<string, number>
  t.is(summary.lostSessions, 0)
  t.is(summary.lostWrites, 0)
  t.is(summary.unequalCopies, 0)
  t.is(summary.clientErrors, 0)
  t.true((summary.detectMs ?? Number.NaN) < 5_000)
  t.true((summary.failoverMs ?? Number.NaN) < 5_000)
  t.true((summary.resyncMs ?? Number.NaN) < 10_000)
  t.is(code, 0)
})

test('a flag the demo does not know is refused with its usage', async t => {
  const { code, errors } = await demo('--acks', 'none')
  t.is(code, 1)
  t.regex(errors, /--ack /)
})

function demo(...args: string[]): Promise<{ code: number | null; output: string; errors: string }> {
  return new Promise((resolve, reject) => {
    const program = fileURLToPath(new URL('../../examples/demo/main.js', import.meta.url))
    const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    let errors = ''
    child.stdout.on('data', (text: Buffer) => {
      output += text.toString('utf8')
    })
    child.stderr.on('data', (text: Buffer) => {
      errors += text.toString('utf8')
    })
    child.on('error', reject)
    child.on('close', code => resolve({ code, output, errors }))
  })
}
