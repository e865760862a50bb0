import test from 'ava'
import fc from 'fast-check'
import { AttributeIndex } from '../../../lib/replication/attribute-index.js'

test('the index equals a recount, whatever is filed and removed', t => {
  const text = fc.option(fc.constantFrom('ann', 'bob', 'cy'), { nil: undefined })
  const filing = fc.tuple(fc.constantFrom('x#1', 'x#2', 'y#1', 'y#2', 'y#3'), text)
  fc.assert(
    fc.property(fc.array(filing, { maxLength: 40 }), filings => {
      const index = new AttributeIndex()
      const recount = new Map<string, string>()
      for (const [key, one] of filings) {
        const before = index.file(key, one)
        t.is(before, recount.get(key))
        if (one === undefined) recount.delete(key)
        else recount.set(key, one)
        t.deepEqual([index.size, index.textCount], [recount.size, new Set(recount.values()).size])
        t.deepEqual([...index.texts()].sort(), [...new Set(recount.values())].sort())
        for (const each of ['ann', 'bob', 'cy']) {
          const keys = [...recount].filter(([, value]) => value === each).map(([found]) => found)
          t.deepEqual([...index.keys(each)].sort(), keys.sort())
          t.is(index.count(each), keys.length)
        }
      }
    }),
  )
})
