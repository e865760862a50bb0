import test from 'ava'
import { checkLimits } from '../../../lib/replication/record-limits.js'
import { SmallMap } from '../../../lib/replication/small-map.js'

test('a value that is too large is told by its name, without what is put in front of an application’s own', t => {
  for (const name of ['photo', '\u0000@shop\u0000photo']) {
    const writes = new SmallMap<Uint8Array | undefined>()
    writes.set(name, new Uint8Array(1_048_577))
    t.throws(() => checkLimits(writes, undefined), {
      code: 'MESSAGE_TOO_LARGE',
      message: 'The value of "photo" has 1048577 bytes; the limit is 1048576',
    })
  }
})
