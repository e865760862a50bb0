import test from 'ava'
import type { Member } from '../../../lib/membership/member.js'
import type { Runtime } from '../../../lib/runtime/runtime.js'
import { ChannelSender } from '../../../lib/transport/channel-sender.js'
import { frames } from '../../../lib/wire/frame-space.js'

test('while others are told of a message it is in hand, whatever they do', t => {
  const handlers = { ended() {}, control() {}, refill() {}, hello: () => t.fail() as never }
  const sender = new ChannelSender({} as Runtime, {}, handlers)
  const nobody = { id: '11'.repeat(16), name: 'b', host: 'h', port: 1 }
  const before = frames.inHand
  const payload = Uint8Array.of(1)
  const send = (told: () => void): void => sender.send([nobody], { topic: 't', payload, ack: 'none' }, told)
  send(() => t.is(frames.inHand, before + 1))
  t.throws(
    () =>
      send(() => {
        throw new Error('told')
      }),
    { message: 'told' },
  )
  t.is(frames.inHand, before)
})

test('a list of members that is used again is served as they are by then', t => {
  const clock = { wall: () => 0, monotonic: () => 0, soon() {}, setTimer: () => ({ cancel() {} }) }
  const network = { connect: () => ({ bufferedBytes: 0, write: () => true, end() {}, destroy() {} }) }
  const times = { incarnation: 0, clusterTime: 0, clockSettled: false, protocolMin: 1, protocolMax: 1 }
  const hello = () => ({ kind: 'hello', member: one, group: 'g', purpose: 'control', ...times })
  const [one, two] = ['11', '22'].map(id => ({ id: id.repeat(16), name: id, host: '127.0.0.1', port: 1 })) as never[]
  const handlers = { ended() {}, control() {}, refill() {}, hello: hello as never }
  const sender = new ChannelSender({ clock, network } as unknown as Runtime, {}, handlers)
  const to = [one, two] as unknown as readonly Member[]
  const failed = (): string[] => {
    const told: string[] = []
    sender.send(to, { topic: 't', payload: Uint8Array.of(1), ack: 'none' }, ({ name }, outcome) => {
      told.push(`${name} ${outcome}`)
      // Within the call, too.
      sender.removeMember(to[1]?.id ?? '', 'disappeared')
    })
    return told
  }
  sender.addMember(to[1] as Member)
  t.deepEqual(failed(), ['11 disappeared', '22 disappeared'])
  sender.addMember(to[0] as Member)
  sender.addMember(to[1] as Member)
  t.deepEqual(failed(), [])
  t.deepEqual(failed(), [])
  sender.removeMember(to[0]?.id ?? '', 'left')
  t.deepEqual(failed(), ['11 disappeared', '22 disappeared'])
  t.is(sender.stats().messages, 4)
})
