import type { Member } from '../membership/member.js'
import type { DisappearedReason, SuspicionVerdict } from '../membership/member-table-types.js'
import type { Endpoint } from '../runtime/runtime.js'
import type { DialResult, MemberOutcome, OutgoingMessage } from '../transport/types.js'
import type { Frame } from '../wire/messages.js'

/** What came of an echo over the control connection. */
export interface EchoResult {
  readonly clusterTime: number
}

/** What the coordinator needs of a transport: the way out and the way in. */
export interface TransportPort {
  /** Starts to listen; the address others can dial. */
  listen(): Promise<Endpoint>
  /** Dials and shakes hands; after a welcome the connection is kept as the member's control connection. */
  dial(endpoint: Endpoint, settled: (result: DialResult) => void): void
  /** Shakes hands once more, only for the members the other side knows. */
  ask(endpoint: Endpoint, settled: (result: DialResult) => void): void
  /** Serves the member from now on; takes over the connection a dial has made to it. */
  add(member: Member): void
  /** Closes what is open to the member and settles what is on its way as `disappeared`. */
  remove(member: Member, reason: DisappearedReason): void
  send(message: OutgoingMessage, to: readonly Member[], settled: (member: Member, outcome: MemberOutcome) => void): void
  /** Writes a frame to the member's control connection. */
  control(member: Member, frame: Frame): void
  echo(member: Member, timeoutMs: number, settled: (result: EchoResult | undefined) => void): void
  probe(member: Member, timeoutMs: number, settled: (verdict: SuspicionVerdict) => void): void
  /** Closes everything. `abrupt`: without sending what waits. */
  stop(members: readonly Member[], abrupt: boolean): void
  /** Plain figures. */
  stats(): Readonly<Record<string, unknown>>
}
