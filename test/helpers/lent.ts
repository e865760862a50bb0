import type { DeliveryOutcome } from '../../lib/channel/topic.js'
import { decodeMessage } from '../../lib/replication/codec.js'
import type { Replica } from '../../lib/replication/replica.js'

/** As a channel hands messages over: the bytes are good for the call only, and whoever keeps them finds others there. */
export function receiveLent(replica: Replica, bytes: Uint8Array, from: string): DeliveryOutcome {
  const lent = Uint8Array.from(bytes)
  const outcome = replica.receive(decodeMessage(lent, 'lent'), from, [lent])
  lent.fill(0xdd)
  return outcome
}
