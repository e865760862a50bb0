/** The public surface: what applications import from `tribeline`. */

export { Channel, type ChannelEvents, type ChannelSendOptions } from './channel/channel.js'
export type { ChannelOptions, MembershipOptions, ReceiverOptions, SenderOptions } from './channel/channel-options.js'
export type {
  ChannelMessage,
  IncomingMessage,
  Interceptor,
  InterceptorContext,
  Suspicion,
} from './channel/interceptor.js'
export { type DispatchInterceptor, type DispatchOptions, dispatch } from './channel/interceptors/dispatch.js'
export {
  type TcpFailureDetector,
  type TcpFailureDetectorOptions,
  tcpFailureDetector,
} from './channel/interceptors/tcp-failure-detector.js'
export {
  type Flow,
  type ThroughputInterceptor,
  type ThroughputSnapshot,
  throughput,
} from './channel/interceptors/throughput.js'
export type { RpcChannel, RpcHandler, RpcReply, RpcRequestOptions, RpcResult } from './channel/rpc-channel.js'
export type {
  AckMode,
  DeliveryOutcome,
  FaultyMember,
  SendReceipt,
  Topic,
  TopicListener,
  TopicSendOptions,
} from './channel/topic.js'
export { Cluster, type ClusterEvents, type ClusterStats, createChannel, createCluster } from './cluster.js'
export type { DrainOptions, DrainReport } from './cluster-drain.js'
export type { ClusterOptions } from './cluster-options.js'
export * from './errors.js'
export type { ClusterState } from './http/service/readiness.js'
export type { EndableServer } from './http/service/server-end.js'
export type { SessionHost } from './http/session-host.js'
export type { Member, MemberId } from './membership/member.js'
export type { DisappearedReason, SuspicionVerdict, SuspicionWhy } from './membership/member-table-types.js'
export type { HandOverReport } from './replication/hand-over.js'
export type { Dot } from './replication/replica-contract.js'
export type { ReplicaOptions, ReplicaOptionsInput } from './replication/replica-options.js'
export type { ReplicaCounters } from './replication/replica-state.js'
export type { ReplicaStats } from './replication/replica-stats.js'
export {
  type AckOptions,
  ReplicatedMap,
  type ReplicatedMapEvents,
  type ReplicatedMapStats,
} from './replication/replicated-map.js'
export type { ReplicationRules } from './replication/replication-rules.js'
export type { ScopeStats } from './replication/scope.js'
export type * from './runtime/runtime.js'
export { AttributeScope, type AttributeScopeOptions } from './session/attribute-scope.js'
export { DeltaManager } from './session/delta-manager.js'
export type { DeltaManagerOptions } from './session/delta-manager-options.js'
export type { LargeAttributeEvent } from './session/large-attributes.js'
export type { AttributeFilter } from './session/local-rule.js'
export type { MergeFunction, MergeStrategy, MergeValues } from './session/merge.js'
export { Session } from './session/session.js'
export type { SessionCodec } from './session/session-codec.js'
export type { ChangeDetection } from './session/session-delta.js'
export type { InvalidateOptions, SessionWhy, ToldWhy } from './session/session-ending.js'
export type {
  CommitOptions,
  CreateSessionOptions,
  SessionCause,
  SessionDestroyedEvent,
  SessionEnd,
  SessionEvents,
  SessionManager,
  SessionStats,
  ViewOptions,
  WriteWhereabouts,
} from './session/session-manager.js'
export type { MemberOutcome } from './transport/types.js'
export type { LoginPolicy, UsersOptions, WhenFull } from './users/login-policy.js'
export {
  type EndAllOptions,
  type LoginOptions,
  type UserSessionEndedEvent,
  Users,
  type UsersEvents,
} from './users/users.js'
