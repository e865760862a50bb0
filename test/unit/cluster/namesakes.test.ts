import test from 'ava'
import { Namesakes } from '../../../lib/cluster-namesakes.js'
import type { Member } from '../../../lib/membership/member.js'
import { VirtualClock } from '../../helpers/virtual-clock.js'

const member = (id: string, name: string): Member => ({ id: id.repeat(32), name, host: '127.0.0.1', port: 4000 })
const LOCAL = member('5', 'web')
const LATER = member('6', 'web')

async function warningsOf(run: () => void): Promise<string[]> {
  const warnings: string[] = []
  const listener = (warning: Error & { code?: string }): void => {
    if (warning.code === 'TRIBELINE_DUPLICATE_NAME') warnings.push(warning.message)
  }
  process.on('warning', listener)
  run()
  await new Promise(resolve => setImmediate(resolve))
  process.off('warning', listener)
  return warnings
}

class Group {
  readonly clock = new VirtualClock()
  members: Member[] = []
  staying = true
  readonly namesakes: Namesakes

  constructor(...members: Member[]) {
    this.members = members
    this.namesakes = new Namesakes({
      clock: this.clock,
      local: () => LOCAL,
      members: () => this.members,
      isStaying: () => this.staying,
    })
  }

  add(added: Member): void {
    this.members.push(added)
    this.namesakes.added(added)
  }
}

test.serial('a later member of the same name that stays is warned of, once', async t => {
  const warnings = await warningsOf(() => {
    const group = new Group(LATER)
    group.add(member('7', 'web'))
    group.clock.advance(50_000)
    group.add(member('8', 'web'))
    group.clock.advance(100_000)
  })
  t.is(warnings.length, 1)
  t.regex(warnings[0]!, /127\.0\.0\.1:4000 has the name of this one at 127\.0\.0\.1:4000, "web"/)
})

for (const [what, run] of [
  ['has another name', group => group.add(member('6', 'other'))],
  ['started earlier: it warns', group => group.add(member('4', 'web'))],
  [
    'goes',
    group => {
      group.add(LATER)
      group.members = []
    },
  ],
  [
    'takes the place of this one',
    group => {
      group.add(LATER)
      group.staying = false
    },
  ],
] as const satisfies [string, (group: Group) => void][]) {
  test.serial(`nobody is warned of one that ${what}`, async t => {
    const warnings = await warningsOf(() => {
      const group = new Group()
      run(group)
      group.clock.advance(100_000)
    })
    t.deepEqual(warnings, [])
  })
}
