import test from 'ava'
import fc from 'fast-check'
import { type Due, DueWheel } from '../../../lib/replication/due-wheel.js'

const SLOT_MS = 10

interface Filed extends Due {
  atMs: number
}

test('a wheel gives each key once, when it was last filed for, or the earliest time of several', t => {
  const step = fc.record({
    kind: fc.constantFrom('file', 'file', 'drop', 'forget', 'take'),
    key: fc.nat(9),
    ms: fc.nat(300),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 5 }), (steps, limit) => {
      const all = new Map<string, Filed>()
      const wheel = new DueWheel(
        SLOT_MS,
        key => all.get(key),
        () => all.size,
      )
      let now = 0
      const take = (): void => {
        for (let taken = wheel.take(now, limit); taken.length > 0; taken = wheel.take(now, limit)) {
          if (taken.length > limit) throw new Error('More than asked for')
          for (const key of taken) {
            const filed = all.get(key)!
            if (filed.atMs > now) throw new Error(`${key} too early`)
            filed.atMs = Number.POSITIVE_INFINITY
          }
        }
        for (const [key, { atMs }] of all) if (atMs <= now - SLOT_MS) throw new Error(`${key} is left`)
      }
      for (const { kind, key: number, ms } of steps) {
        const key = `key${number}`
        if (kind === 'file') {
          const filed = all.get(key) ?? { dueSlot: 0, atMs: Number.POSITIVE_INFINITY }
          all.set(key, filed)
          wheel.file(key, filed, now + ms)
          filed.atMs = Math.min(filed.atMs, now + ms)
        } else if (kind === 'drop') all.delete(key)
        else if (kind === 'forget') {
          const filed = all.get(key)
          if (filed !== undefined) Object.assign(filed, { dueSlot: 0, atMs: Number.POSITIVE_INFINITY })
        } else {
          now += ms
          take()
        }
      }
      now += 1_000
      take()
      return wheel.entries === 0
    }),
  )
  t.pass()
})

test('entries in vain are bounded by what there is', t => {
  const wheel = new DueWheel(
    SLOT_MS,
    () => undefined,
    () => 0,
  )
  for (let i = 0; i < 50_000; i++) wheel.file(`${i}`, { dueSlot: 0 }, 1_000 + i)
  t.true(wheel.entries < 5_000)
})
