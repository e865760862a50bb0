import test from 'ava'
import fc from 'fast-check'
import type { DeltaManagerOptions } from '../../../lib/session/delta-manager-options.js'
import type { Session } from '../../../lib/session/session.js'
import { oneManager } from '../../helpers/session-managers.js'

type Step =
  | { readonly kind: 'set'; readonly name: string; readonly size: number }
  | { readonly kind: 'push' | 'delete' | 'read'; readonly name: string }
  | { readonly kind: 'commit' | 'next' }

const NAMES = ['a', 'b', 'here', 'shared']
const name = fc.constantFrom(...NAMES)
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('set' as const), name, size: fc.integer({ min: 0, max: 60 }) }),
  fc.record({ kind: fc.constantFrom('push' as const, 'delete' as const, 'read' as const), name }),
  fc.record({ kind: fc.constantFrom('commit' as const, 'next' as const) }),
)

/** Options that may not matter to requests that come one after another. */
const INDIFFERENT: readonly DeltaManagerOptions[] = [
  { exclude: ['here'] },
  { exclude: (_name, value) => Array.isArray(value) && value.length % 2 === 1 },
  { maxAttributeBytes: 30 },
  { maxAttributeBytes: 30, exclude: /^h/, merge: 'last-write' },
  { merge: 'last-write' },
  { merge: () => 'never asked' },
  { detect: 'get' },
  { detect: 'all' },
  { detect: 'all', merge: 'last-write' },
  { application: 'shop' },
  { application: 'shop', shared: ['shared'], merge: 'last-write' },
  { application: 'shop', shared: /s/, exclude: 'here', maxAttributeBytes: 40, detect: 'get' },
  { maxLifetime: 1_000 },
]

function see(session: Session): unknown {
  return structuredClone(Object.fromEntries([...session.entries()].sort(([a], [b]) => (a < b ? -1 : 1))))
}

/** What each step shows. */
function run(options: DeltaManagerOptions, steps: readonly Step[]): unknown[] {
  const { sessions } = oneManager(options)
  const { id } = sessions.create({ attributes: [['a', [0]]] })
  const load = (): Session => sessions.find(id) as Session
  let view = load()
  const shown: unknown[] = []
  for (const { kind, ...more } of steps) {
    const { name, size } = more as { name: string; size: number }
    if (kind === 'set')
      view.set(
        name,
        Array.from({ length: size }, (_, index) => index),
      )
    else if (kind === 'push') view.get<unknown[]>(name)?.push('more')
    else if (kind === 'delete') shown.push(view.delete(name))
    else if (kind === 'read') shown.push([view.has(name), view.names().sort()])
    else {
      sessions.commit(view)
      if (kind === 'next') view = load()
    }
    shown.push(see(view))
  }
  sessions.commit(view)
  shown.push(see(load()))
  return shown
}

for (const options of INDIFFERENT) {
  const title = JSON.stringify(options, (_key, value) =>
    value instanceof RegExp || typeof value === 'function' ? String(value) : value,
  )
  test(`one request after another sees the same with ${title}`, t => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), steps => {
        t.deepEqual(run(options, steps), run({}, steps))
      }),
      { numRuns: 150 },
    )
  })
}
