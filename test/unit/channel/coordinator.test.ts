import test from 'ava'
import { ChannelCoordinator } from '../../../lib/channel/coordinator.js'
import type { TransportPort } from '../../../lib/channel/transport-port.js'
import type { Member } from '../../../lib/membership/member.js'
import { StaticService } from '../../../lib/membership/static-service.js'
import type { DialResult, ReceiverHandlers } from '../../../lib/transport/types.js'

const member = (id: string, port: number): Member => ({ id: id.repeat(32), name: id, host: '127.0.0.1', port })
const [local, other] = [member('a', 1), member('b', 2)]

test('a member that was heard is heard no more once it has left', async t => {
  let receiver: ReceiverHandlers | undefined
  let welcomed: ((result: DialResult) => void) | undefined
  const sent: (readonly Member[])[] = []
  const transport: TransportPort = {
    listen: async () => ({ host: local.host, port: local.port }),
    dial: (_endpoint, settled) => {
      welcomed = settled
    },
    ask() {},
    add() {},
    remove() {},
    send: (_message, to) => void sent.push(to),
    control() {},
    echo() {},
    probe() {},
    stop() {},
    stats: () => ({}),
  }
  const coordinator = new ChannelCoordinator(
    {
      clock: { wall: () => 0, monotonic: () => 0, soon() {}, setTimer: () => ({ cancel() {} }) },
      random: { bytes: length => new Uint8Array(length), uint32: () => 0 },
      group: 'g',
      options: { frequency: 500, dropTime: 3_000, suspicionMs: 1, hungGraceMs: 1, forgetMemberAfterMs: 1_000 } as never,
      service: new StaticService(['127.0.0.1:2']),
      events: { advertisements: () => [], advertised() {}, refill() {}, clockDivergence() {} },
      transport: receiverHandlers => {
        receiver = receiverHandlers
        return transport
      },
    },
    local,
  )
  await coordinator.listen()
  await coordinator.start({
    send() {},
    receive: () => 'applied',
    memberAdded() {},
    memberDisappeared() {},
    memberSuspected() {},
  })
  const receive = (from: Member): unknown => receiver?.message('t', new Uint8Array(1), from)
  const send = (to: readonly Member[]): string[] => {
    const gone: string[] = []
    coordinator.send({
      topic: 't',
      payload: new Uint8Array(1),
      to,
      ack: 'none',
      settled: ({ name }) => gone.push(name),
    })
    return gone
  }
  t.is(receive(other), 'applied', 'not known to be gone')
  const welcome = { protocol: 1, member: other, incarnation: 0, clusterTime: 0, clockSettled: false, known: [] }
  welcomed?.({ kind: 'welcome', welcome: { kind: 'welcome', ...welcome } })
  t.deepEqual(coordinator.members, [other])
  const before = coordinator.members
  t.is(receive(other), 'applied')
  t.is(receive(other), 'applied')
  t.deepEqual(send(before), [])
  t.is(sent[0], before)
  receiver?.control({ kind: 'goodbye', member: other.id }, other)
  t.deepEqual(coordinator.members, [])
  t.is(receive(other), 'rejected')
  t.deepEqual(send(before), ['b'])
  t.is(sent.length, 1)
  coordinator.destroy()
  t.is(receive(other), 'rejected')
})
