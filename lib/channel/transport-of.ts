import type { SuspicionVerdict } from '../membership/member-table-types.js'
import type { Runtime } from '../runtime/runtime.js'
import { ChannelReceiver } from '../transport/channel-receiver.js'
import { ChannelSender, type ProbeResult } from '../transport/channel-sender.js'
import type { ReceiverHandlers, SenderHandlers } from '../transport/types.js'
import type { ChannelOptions } from './channel-options.js'
import type { TransportPort } from './transport-port.js'

const VERDICTS: Record<ProbeResult, SuspicionVerdict> = {
  answered: 'alive',
  refused: 'refused',
  'accepted-silent': 'hung',
  unreachable: 'silent',
}

/** ChannelSender and ChannelReceiver as the coordinator's way out and in. */
export function transportOf(
  runtime: Runtime,
  options: ChannelOptions,
  receiverHandlers: ReceiverHandlers,
  senderHandlers: SenderHandlers,
): TransportPort {
  const { address, port, autoBind, maxFrameBytes: frameLimitBytes } = options.receiver
  const { poolSize, timeout: dialTimeoutMs, queueBytes: queueLimitBytes, queueAgeMs } = options.sender
  const receiver = new ChannelReceiver(runtime, { address, port, autoBind, frameLimitBytes }, receiverHandlers)
  const sender = new ChannelSender(
    runtime,
    { poolSize, dialTimeoutMs, queueLimitBytes, queueAgeMs, frameLimitBytes },
    senderHandlers,
  )
  return {
    listen: () => receiver.start(),
    dial: (endpoint, settled) => sender.dial(endpoint, 'control', settled),
    ask: (endpoint, settled) => sender.dial(endpoint, 'probe', settled),
    add: member => sender.addMember(member),
    remove(member, reason) {
      sender.removeMember(member.id, reason === 'left' ? 'left' : 'disappeared')
      // A dead one may still be talking to us (it is cut off one way); one that is final may not.
      if (reason !== 'dead') receiver.disconnect(member.id)
    },
    send: (message, to, settled) => sender.send(to, message, settled),
    control(member, frame) {
      sender.sendControl(member.id, frame)
    },
    echo: (member, timeoutMs, settled) => sender.echo(member.id, timeoutMs, settled),
    probe(member, timeoutMs, settled) {
      sender.probe(member, timeoutMs, (result, id) => {
        // Another life answers at that address: this one is gone.
        settled(result === 'answered' && id !== member.id ? 'refused' : VERDICTS[result])
      })
    },
    stop(members, abrupt) {
      if (abrupt) for (const { id } of members) sender.removeMember(id, 'disappeared')
      sender.stop()
      receiver.stop()
    },
    stats: () => ({ sender: sender.stats(), receiver: receiver.stats() }),
  }
}
