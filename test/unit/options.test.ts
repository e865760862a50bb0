import test from 'ava'
import { InvalidOptionError } from '../../lib/errors.js'
import { flag, oneOf, type RulesOf, resolve, text, wholeNumber } from '../../lib/options.js'

interface Options {
  readonly name: string
  readonly receiver: { readonly port: number; readonly fast: boolean }
  readonly ack: 'none' | 'received' | 'applied'
}

const rules: RulesOf<Options> = {
  name: text('node', /^[a-z]+$/, 'lower-case letters'),
  receiver: { port: wholeNumber(4000, 0, 65_535), fast: flag(false) },
  ack: oneOf('none', 'none', 'received', 'applied'),
}

test('what is not given gets its default, and the result is frozen', t => {
  const options = resolve(rules, { receiver: { port: 0 } })
  t.deepEqual(options, { name: 'node', receiver: { port: 0, fast: false }, ack: 'none' })
  t.true(Object.isFrozen(options) && Object.isFrozen(options.receiver))
})

const refused: readonly [string, unknown, RegExp][] = [
  ['an unknown name', { prot: 1 }, /^Option prot must be one of the known names \(name, receiver, ack\); got 1$/],
  ['a nested unknown name', { receiver: { prt: 1 } }, /^Option receiver\.prt must be one of the known names/],
  [
    'a number out of range',
    { receiver: { port: 70_000 } },
    /^Option receiver\.port must be a whole number from 0 to 65535; got 70000$/,
  ],
  ['a number as text', { receiver: { port: '4000' } }, /got "4000"$/],
  ['not a number', { receiver: { port: Number.NaN } }, /got NaN$/],
  ['a value outside the list', { ack: 'all' }, /^Option ack must be one of 'none', 'received', 'applied'; got "all"$/],
  ['text of another form', { name: 'A b' }, /^Option name must be lower-case letters; got "A b"$/],
  ['a list for a block', { receiver: [] }, /^Option receiver must be an object; got an array$/],
]

for (const [title, given, message] of refused) {
  test(`refused in one sentence: ${title}`, t => {
    const error = t.throws(() => resolve(rules, given as never), { instanceOf: InvalidOptionError })
    t.regex(error.message, message)
    t.is(error.code, 'INVALID_OPTION')
  })
}
