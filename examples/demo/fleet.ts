import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { DrainReport } from '../../lib/index.js'
import { FREE_PORT_MIN, freePort, PORT_MAX, PORT_MIN } from './free-port.js'
import {
  AUTO_BIND,
  type BalancerCommand,
  type BalancerMessage,
  type NodeCommand,
  type NodeConfig,
  type NodeMessage,
  type NodeRow,
  type NodeStatus,
} from './protocol.js'

const READY_WITHIN_MS = 20_000
const EXIT_WITHIN_MS = 2_000
const GRACE_MS = 4_000
const SERVER = fileURLToPath(new URL('server.js', import.meta.url))

/** One server process, as the main process knows it. */
export interface NodeHandle {
  readonly name: string
  state: NodeRow['state']
  child?: ChildProcess
  status?: NodeStatus
  httpPort: number
  ajpPort: number | undefined
  debugPort: number
}

/** How long a start took, in milliseconds. */
export interface StartFigures {
  /** From the fork to ready: loading the program included. */
  readonly fromForkMs: number
  /** From the call of `createCluster` to joined with the state transfer done. */
  readonly fromJoinMs: number
  /** Sessions held when ready. */
  readonly sessions: number
}

/** Events: `changed`, `disappeared` (observer, member, at), `drained` (name), `kill` and `start` (asked for on the page). */
interface FleetEvents {
  changed: []
  drained: [name: string, report: DrainReport]
  disappeared: [observer: string, member: string, at: number]
  kill: [name: string]
  start: [name: string]
}

/** All child processes of one demo: servers and the balancer. Ends them by pid, whatever happens. */
export class Fleet extends EventEmitter<FleetEvents> {
  readonly nodes: readonly NodeHandle[]
  balancerPort = 0
  #balancer: ChildProcess | undefined
  readonly #servesAjp: boolean
  readonly #shared: Omit<NodeConfig, 'name' | 'httpPort' | 'ajpPort'>

  constructor(names: readonly string[], ack: NodeConfig['ack'], { servesAjp = false }: { servesAjp?: boolean } = {}) {
    super()
    this.#servesAjp = servesAjp
    this.nodes = names.map(name => ({ name, state: 'down', httpPort: 0, ajpPort: undefined, debugPort: 0 }))
    this.#shared = {
      group: `demo-${randomBytes(6).toString('hex')}`,
      multicastPort: randomInt(PORT_MIN, PORT_MAX),
      receiverPort: randomInt(PORT_MIN, FREE_PORT_MIN - AUTO_BIND),
      secret: randomBytes(32).toString('hex'),
      ack,
    }
    process.on('exit', () => this.killAll())
  }

  /** Names of the nodes that answer. */
  get up(): readonly string[] {
    return this.nodes.filter(node => node.state === 'up').map(node => node.name)
  }

  node(name: string): NodeHandle {
    const node = this.nodes.find(candidate => candidate.name === name)
    if (!node) throw new Error(`There is no node ${name}`)
    return node
  }

  /** Starts the balancer and waits for its port. */
  async startBalancer(): Promise<void> {
    const child = fork(fileURLToPath(new URL('balancer.js', import.meta.url)))
    this.#balancer = child
    const port = new Promise<number>((resolve, reject) => {
      child.once('exit', () => reject(new Error('The balancer ended')))
      child.on('message', (message: BalancerMessage) => {
        if (message.type === 'listening') resolve(message.port)
        else this.emit(message.type, message.name)
      })
    })
    this.balancerPort = await port
    this.on('changed', () => this.#tellBalancer({ type: 'rows', rows: this.rows() }))
    this.#tellTargets()
  }

  /**
   * Starts a server process; resolves when it has joined, holds the sessions, and the balancer knows of it.
   *
   * @param program Another build's `server.js`. Default: this one's.
   */
  async start(name: string, program: string = SERVER): Promise<StartFigures> {
    const node = this.node(name)
    if (node.state !== 'down') throw new Error(`${name} is ${node.state}`)
    if (node.httpPort === 0) node.httpPort = await freePort()
    if (this.#servesAjp) node.ajpPort ??= await freePort()
    const forkedAt = Date.now()
    const config: NodeConfig = { name, httpPort: node.httpPort, ajpPort: node.ajpPort, ...this.#shared }
    const child = fork(program, [JSON.stringify(config)])
    node.child = child
    node.state = 'starting'
    this.emit('changed')
    const ready = await this.#ready(node, child)
    node.debugPort = ready.debugPort
    node.state = 'up'
    this.emit('changed')
    this.#tellTargets()
    return {
      fromForkMs: ready.readyAt - forkedAt,
      fromJoinMs: ready.readyAt - ready.joinStartedAt,
      sessions: ready.sessions,
    }
  }

  /** Kills a server without warning and says when; the balancer is not told. */
  kill(name: string): number {
    const node = this.node(name)
    const killedAt = Date.now()
    node.child?.kill('SIGKILL')
    return killedAt
  }

  /** Lets a server end as a planned stop does: its balancer is told no, and it serves on for so many milliseconds. */
  drain(name: string, graceMs: number = GRACE_MS): void {
    this.node(name).child?.send({ type: 'drain', graceMs } satisfies NodeCommand, () => {})
  }

  /** Lets a server that does not drain yet end at once, and waits for its end. */
  async leave(name: string): Promise<void> {
    const { child } = this.node(name)
    if (!child) return
    const exit = once(child, 'exit')
    child.send({ type: 'leave' } satisfies NodeCommand, () => {})
    await exit
  }

  /** Stops a process in its tracks; `thaw` lets it go on. */
  freeze(name: string): void {
    const node = this.node(name)
    node.child?.kill('SIGSTOP')
    node.state = 'frozen'
    this.emit('changed')
  }

  /** Lets a frozen process go on. */
  thaw(name: string): void {
    const node = this.node(name)
    node.child?.kill('SIGCONT')
    node.state = 'up'
    this.emit('changed')
  }

  rows(): readonly NodeRow[] {
    return this.nodes.map(({ name, state, child, status }) => ({ name, state, pid: child?.pid, ...status }))
  }

  /** Lets every server leave, then kills what is still there. */
  async stop(): Promise<void> {
    const leaving = this.nodes.flatMap(node => (node.child && node.state !== 'down' ? [node.child] : []))
    const exits = leaving.map(child => once(child, 'exit'))
    for (const child of leaving) child.send({ type: 'leave' } satisfies NodeCommand, () => {})
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise(resolve => {
      timer = setTimeout(resolve, EXIT_WITHIN_MS)
    })
    await Promise.race([Promise.all(exits), patience])
    clearTimeout(timer)
    this.killAll()
  }

  /** Kills every child by its pid; safe to call at any time. */
  killAll(): void {
    for (const { child } of this.nodes) child?.kill('SIGKILL')
    this.#balancer?.kill('SIGKILL')
  }

  #ready(node: NodeHandle, child: ChildProcess): Promise<Extract<NodeMessage, { type: 'ready' }>> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`${node.name} was not ready within ${READY_WITHIN_MS} ms`))
        child.kill('SIGKILL')
      }, READY_WITHIN_MS)
      child.on('message', (message: NodeMessage) => {
        if (message.type === 'ready') resolve(message)
        else if (message.type === 'failed') reject(new Error(`${node.name}: ${message.reason}`))
        else this.#heard(node, message)
        if (message.type === 'ready' || message.type === 'failed') clearTimeout(timer)
      })
      child.once('exit', (code, signal) => {
        clearTimeout(timer)
        if (node.child === child) {
          node.state = 'down'
          delete node.child
          delete node.status
          this.emit('changed')
        }
        reject(new Error(`${node.name} ended with ${signal ?? code}`))
      })
    })
  }

  #heard(node: NodeHandle, message: NodeMessage): void {
    if (message.type === 'drained') this.emit('drained', node.name, message.report)
    if (message.type === 'memberDisappeared') this.emit('disappeared', node.name, message.member, message.at)
    if (message.type !== 'status') return
    const { type: _, ...status } = message
    node.status = status
    this.emit('changed')
  }

  #tellTargets(): void {
    const targets = this.nodes.flatMap(({ name, httpPort }) => (httpPort > 0 ? [{ name, port: httpPort }] : []))
    this.#tellBalancer({ type: 'targets', targets })
  }

  #tellBalancer(command: BalancerCommand): void {
    if (this.#balancer?.connected) this.#balancer.send(command, () => {})
  }
}
