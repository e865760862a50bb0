import type { Member } from '../membership/member.js'
import type { MembershipService } from '../membership/membership-service.js'
import type { Clock, Random } from '../runtime/runtime.js'
import type { ReceiverHandlers, SenderHandlers } from '../transport/types.js'
import type { Advertisement } from '../wire/messages.js'
import type { MembershipOptions } from './channel-options.js'
import type { TransportPort } from './transport-port.js'

/** What the coordinator tells the channel, apart from what goes up the chain. */
export interface CoordinatorEvents {
  advertisements(): Advertisement[]
  advertised(advertisements: readonly Advertisement[], from: Member): void
  refill(member: Member, topic: string, keys: ReadonlySet<string>, lost: boolean): void
  clockDivergence(member: Member, aheadMs: number): void
}

/** What the coordinator is made of. */
export interface CoordinatorParts {
  readonly clock: Clock
  readonly random: Random
  readonly service: MembershipService
  readonly options: MembershipOptions
  readonly group: string
  readonly events: CoordinatorEvents
  readonly transport: (receiver: ReceiverHandlers, sender: SenderHandlers) => TransportPort
}

/** Runs something later, unless the coordinator has ended by then. */
export type After = (delayMs: number, run: () => void) => void
