import type { Member } from './membership/member.js'
import type { Clock } from './runtime/runtime.js'

/** A restart may begin the next life, wait until that is healthy, and only then end this one: no mistake for so long. */
const OVERLAP_MS = 60_000

/** What is looked at, as it is then. */
export interface NamesakesParts {
  readonly clock: Clock
  local(): Member
  members(): readonly Member[]
  /** Whether this member is not about to go. */
  isStaying(): boolean
}

/**
 * Warns once, by a process warning, of another live member that has this one's name and stays. Of two the one that
 * started first does: if the other took its place, it would be about to go.
 */
export class Namesakes {
  readonly #parts: NamesakesParts
  #isTold = false

  constructor(parts: NamesakesParts) {
    this.#parts = parts
    for (const member of parts.members()) this.added(member)
  }

  /** A member is there. */
  added({ id, name }: Member): void {
    const local = this.#parts.local()
    if (name !== local.name || id < local.id) return
    this.#parts.clock.setTimer(OVERLAP_MS, () => {
      const other = this.#parts.members().find(member => member.id === id)
      if (other !== undefined && this.#parts.isStaying()) this.#tell(other)
    })
  }

  #tell({ name, host, port }: Member): void {
    if (this.#isTold) return
    this.#isTold = true
    const local = this.#parts.local()
    process.emitWarning(
      `The member at ${host}:${port} has the name of this one at ${local.host}:${local.port}, ${JSON.stringify(name)}: ` +
        'give each process a name of its own, for balancers tell members apart by it, and after an absence one would be ' +
        'taken for a past life of the other',
      { code: 'TRIBELINE_DUPLICATE_NAME' },
    )
  }
}
