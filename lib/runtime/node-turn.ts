/** Runs `run` in the next round of the event loop, when what has come from the sockets in this one is read. */
export function nextTurn(run: () => void): void {
  setImmediate(run)
}
