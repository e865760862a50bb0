import type { Session } from '../../session/session.js'

/** Whoever extends it initializes the object it is given. */
class Given {
  constructor(object: object) {
    // biome-ignore lint/correctness/noConstructorReturn: what makes private fields of any object's.
    return object
  }
}

/**
 * Gives an object we handed out a private field with the view it was made from: the base of the merge. One for all
 * stores, so that facades may be mixed; nobody else sees it, and copies and JSON are without it. A WeakMap would cost the
 * garbage collector several times what the rest of a load does, a property that is not enumerable a call of the runtime.
 */
class Loaded extends Given {
  #view: Session

  constructor(data: object, view: Session) {
    super(data)
    this.#view = view
  }

  static remember(data: object, view: Session): void {
    if (#view in data) data.#view = view
    else new Loaded(data, view)
  }

  static viewOf(data: object): Session | undefined {
    return #view in data ? data.#view : undefined
  }
}

/** Has `data` know the view it was loaded from, or saved to. */
export function remember(data: object, view: Session): void {
  Loaded.remember(data, view)
}

/** The view of an object that a store has loaded or saved. */
export function viewOf(data: object | undefined): Session | undefined {
  return typeof data === 'object' && data !== null ? Loaded.viewOf(data) : undefined
}
