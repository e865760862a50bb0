import type { DeltaWrites } from '../replication/delta.js'
import type { AttributeScope } from './attribute-scope.js'

/** Names remembered as told; beyond, attributes are no longer looked at. */
const NAMES_MAX = 1_000

/** An attribute of this name is large; told once for each name. */
export interface LargeAttributeEvent {
  readonly name: string
  /** Of the value that was the first to be large, encoded. */
  readonly bytes: number
}

/**
 * Tells once, by a process warning, of every attribute name whose value is larger than `bytes` (0: of none): such values
 * travel whole with each change, to every member.
 */
export class LargeAttributes {
  readonly #limit: number
  readonly #tell: (event: LargeAttributeEvent) => void
  readonly #told = new Set<string>()

  constructor(bytes: number, tell: (event: LargeAttributeEvent) => void) {
    this.#limit = bytes === 0 ? Infinity : bytes
    this.#tell = tell
  }

  /** Looks at what is about to be written. */
  look(writes: DeltaWrites, scope: AttributeScope): void {
    for (let place = 0; place < writes.size; place++) {
      const bytes = writes.valueAt(place)
      if (bytes === undefined || bytes.length <= this.#limit) continue
      const stored = writes.nameAt(place)
      if (this.#told.has(stored)) continue
      const name = scope.name(stored)
      if (name === undefined || this.#told.size >= NAMES_MAX) continue
      this.#told.add(stored)
      process.emitWarning(
        `The session attribute ${JSON.stringify(name.slice(0, 80))} has ${bytes.length} bytes (warnAttributeBytes is ${this.#limit}): ` +
          'every change of it goes to every member as a whole',
        { code: 'TRIBELINE_LARGE_ATTRIBUTE' },
      )
      this.#tell({ name, bytes: bytes.length })
    }
  }
}
