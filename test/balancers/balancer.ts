/** Where one run of a balancer takes place. */
export interface Place {
  /** Its own directory, removed afterwards. */
  readonly dir: string
  /** The example's file, with the addresses of this run, in `dir`. */
  readonly config: string
  /** Where it listens, on 127.0.0.1. */
  readonly port: number
  /** Whether this process is root, whom some balancers want to leave. */
  readonly isRoot: boolean
}

/** What the runner must know of one balancer. */
export interface Balancer {
  readonly name: string
  /** The file in `examples/balancers`. */
  readonly example: string
  /** Further files of the example, which lie next to it. */
  readonly companions?: readonly string[]
  /** How the program may be called; the first one there is taken. */
  readonly programs: readonly string[]
  /** Whether all that the program needs is there, too. */
  isComplete?(): boolean
  /** What to tell a person who does not have it. */
  readonly install: string
  /** Finds the version in what `program -v` prints. */
  readonly version: RegExp
  /** Whether it speaks AJP with the nodes, and not HTTP. */
  readonly speaksAjp?: boolean
  /** The nodes' addresses in the example, and what stands in for them. Default: 10.0.0.11:3000 and so on. */
  addresses?(nodePorts: readonly number[]): readonly (readonly [from: string, to: string])[]
  /** Texts of the example that name a host's address or path, and what stands in for them; each must occur. */
  replacements(place: Place): readonly (readonly [from: string, to: string])[]
  /** A file around the example, where the example is only a part of a configuration; the name is free. */
  wrapper?(place: Place): string
  /** Arguments that keep it in the foreground; `main` is the wrapper, or else the example. */
  args(place: Place, main: string): readonly string[]
  /** The change that the example's comment offers, for applications where repeating a write does no harm. */
  readonly repeatsWrites?: readonly [from: string, to: string]
  /** The changes that the example's comment offers, for routes in the session cookie. */
  readonly routings?: Readonly<Partial<Record<'suffix' | 'jvmRoute', readonly [from: string, to: string]>>>
  /** Whether it repeats reads that were lost together with their node. */
  readonly repeatsReads: boolean
  /** Whether a node that is about to be stopped keeps its clients until it refuses connections. */
  readonly learnsByRefusal?: boolean
  /** For those that do not ask the nodes: the configuration without this node, to be loaded before the node is stopped. */
  takeOut?(config: string, address: string): string
}
