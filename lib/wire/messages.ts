import type { Member, MemberId } from '../membership/member.js'

/** Bytes a topic put into a heartbeat. */
export interface Advertisement {
  readonly topic: string
  readonly bytes: Uint8Array
}

/** What a member says of itself, by datagram or over its control connection. */
export interface Heartbeat {
  readonly group: string
  readonly member: Member
  /** Raised by the member itself to refute a suspicion, and at a re-join after it was held for dead (SWIM). */
  readonly incarnation: number
  /** Number of this heartbeat, from 1: what is older than the newest heard is dropped. */
  readonly count: number
  /** 64-bit hash of the sorted ids in the sender's view, as 16 hex digits. */
  readonly view: string
  readonly leaving: boolean
  readonly clusterTime: number
  readonly advertisements: readonly Advertisement[]
}

/** What a connection is for. `probe`: answer the handshake and echoes, become nobody's member. */
export type ConnectionPurpose = 'control' | 'data' | 'bulk' | 'probe'

/** First frame of the side that dialled. */
export interface Hello {
  readonly kind: 'hello'
  readonly protocolMin: number
  readonly protocolMax: number
  readonly group: string
  readonly purpose: ConnectionPurpose
  readonly member: Member
  readonly incarnation: number
  readonly clusterTime: number
  /** Whether clusterTime is already the group's and may not be moved. */
  readonly clockSettled: boolean
}

/** The answer that makes the dialled side a member for the dialler. */
export interface Welcome {
  readonly kind: 'welcome'
  readonly protocol: number
  readonly member: Member
  readonly incarnation: number
  readonly clusterTime: number
  readonly clockSettled: boolean
  /** Everybody the answering side knows, as hints to dial; `absent`: held for dead, and remembered. */
  readonly known: readonly { readonly member: Member; readonly absent: boolean }[]
}

/** Why a handshake was turned down. */
export type RefusalReason = 'group' | 'protocol' | 'clock' | 'self' | 'stopping' | 'superseded' | 'limit'

/** Everything that travels over a connection. */
export type Frame =
  | Hello
  | Welcome
  | { readonly kind: 'refused'; readonly reason: RefusalReason; readonly detail: string }
  | { readonly kind: 'echo'; readonly nonce: number }
  | { readonly kind: 'echoReply'; readonly nonce: number; readonly clusterTime: number }
  | { readonly kind: 'heartbeat'; readonly heartbeat: Heartbeat }
  | { readonly kind: 'goodbye'; readonly member: MemberId }
  /** Messages are numbered by their place on the connection, from 1, so one encoding serves every receiver. */
  | { readonly kind: 'message'; readonly topic: string; readonly ack: 0 | 1 | 2; readonly payload: Uint8Array }
  /**
   * Cumulative: messages 1…received are decoded, 1…applied are applied but for the exceptions of this and earlier
   * acknowledgements.
   */
  | {
      readonly kind: 'ack'
      readonly received: number
      readonly applied: number
      readonly exceptions: readonly { readonly number: number; readonly reason: 'rejected' | 'deferred' }[]
    }
