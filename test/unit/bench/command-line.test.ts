import test from 'ava'
import { CommandLine } from '../../../bench/command-line.js'

const STACKS = ['none', 'store'] as const

test('names, flags, and values of options', t => {
  const line = new CommandLine(['http', '--quick', '--stack', 'store,none', 'peers', '--nodes', '2,4'])
  t.deepEqual(line.names, ['http', 'peers'])
  t.true(line.has('quick'))
  t.false(line.has('json'))
  t.deepEqual(line.pick('stack', STACKS), ['store', 'none'])
  t.deepEqual(line.pickNumbers('nodes'), [2, 4])
  t.is(line.pick('kind', STACKS), undefined)
  t.is(line.pickNumbers('passes'), undefined)
})

test('what it does not take is refused, with what is allowed and what came', t => {
  const failure = (run: () => unknown): string | undefined => t.throws(run)?.message
  t.is(
    failure(() => new CommandLine(['--stacks', 'none'])),
    'There is no option --stacks; see --help',
  )
  t.is(
    failure(() => new CommandLine(['--nodes'])),
    '--nodes needs a value',
  )
  const line = new CommandLine(['--stack', 'none,redis', '--nodes', '2,x', '--passes', '0'])
  t.is(
    failure(() => line.pick('stack', STACKS)),
    '--stack is one or more of none, store, not "redis"',
  )
  t.is(
    failure(() => line.pickNumbers('nodes')),
    '--nodes takes whole numbers above 0, not "x"',
  )
  t.is(
    failure(() => line.pickNumbers('passes')),
    '--passes takes whole numbers above 0, not "0"',
  )
})
