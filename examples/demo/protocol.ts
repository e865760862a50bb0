import type { DrainReport } from '../../lib/index.js'

/** Ports that servers try for their receivers, from the first on. */
export const AUTO_BIND = 100
/** What a web server that speaks AJP must know. */
export const AJP_SECRET = 'demo'

/** What the demo's processes tell each other over `process.send`. */
export interface NodeConfig {
  readonly name: string
  readonly group: string
  readonly multicastPort: number
  readonly receiverPort: number
  /** Where it serves HTTP; the same after a restart, for balancers whose servers are written in a file. */
  readonly httpPort: number
  /** Where it serves AJP, if it does. */
  readonly ajpPort: number | undefined
  readonly ack: 'none' | 'received' | 'applied'
  readonly secret: string
}

/** What one server knows of itself. */
export interface NodeStatus {
  readonly members: readonly string[]
  readonly sessions: number
  /** Deltas queued or unacknowledged; undefined where the figure is not to be had. */
  readonly pendingDeltas: number | undefined
  /** Milliseconds for which it held requests back after it had slept, and how often it gave up waiting for the others. */
  readonly fencedMs: number
  readonly fenceTimeouts: number
}

/** From a server to the main process. Times are `Date.now()`. */
export type NodeMessage =
  | {
      readonly type: 'ready'
      readonly debugPort: number
      readonly joinStartedAt: number
      readonly readyAt: number
      readonly sessions: number
    }
  | ({ readonly type: 'status' } & NodeStatus)
  | { readonly type: 'memberAdded' | 'memberDisappeared'; readonly member: string; readonly at: number }
  | { readonly type: 'drained'; readonly report: DrainReport }
  | { readonly type: 'failed'; readonly reason: string }

/** From the main process to a server: end, after serving on for so long (milliseconds), or at once. */
export type NodeCommand = { readonly type: 'drain'; readonly graceMs: number } | { readonly type: 'leave' }

/** One server the balancer may use. */
export interface Target {
  readonly name: string
  readonly port: number
}

/** One line of the page's node table. */
export interface NodeRow extends Partial<NodeStatus> {
  readonly name: string
  readonly state: 'starting' | 'up' | 'frozen' | 'down'
  readonly pid?: number | undefined
}

/** From the main process to the balancer. */
export type BalancerCommand =
  | { readonly type: 'targets'; readonly targets: readonly Target[] }
  | { readonly type: 'rows'; readonly rows: readonly NodeRow[] }

/** From the balancer to the main process. */
export type BalancerMessage =
  | { readonly type: 'listening'; readonly port: number }
  | { readonly type: 'kill' | 'start'; readonly name: string }

/** The answer to a write, and one session as a node's debug endpoint tells it. */
export interface CartState {
  readonly node: string
  readonly count: number
  readonly cart: readonly string[]
  /** The numbers of its last writes, at most `STEPS_KEPT`. */
  readonly steps: readonly number[]
}

/** So many writes back, each client checks that what it was told is saved is still there. */
export const STEPS_KEPT = 10

/** The cookie by which the balancer keeps a client on one node. */
export const ROUTE_COOKIE = 'tribeline_route'
/** Says which write of its client a request is, so that a repeated one counts once. */
export const STEP_HEADER = 'x-demo-step'
/** Says how many servers the balancer tried. */
export const ATTEMPTS_HEADER = 'x-demo-attempts'
