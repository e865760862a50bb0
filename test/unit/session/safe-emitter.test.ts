import test from 'ava'
import { SafeEmitter } from '../../../lib/session/safe-emitter.js'

test('an event is heard while somebody listens to it', t => {
  const emitter = new SafeEmitter<{ one: []; other: [] }>(error => t.fail(String(error)))
  const listener = (): void => {}
  t.false(emitter.hears('one'))
  emitter.on('one', listener)
  t.true(emitter.hears('one'))
  t.false(emitter.hears('other'))
  emitter.off('one', listener)
  t.false(emitter.hears('one'))
  emitter.once('other', listener)
  t.true(emitter.hears('other'))
  emitter.emit('other')
  t.false(emitter.hears('other'))
})
