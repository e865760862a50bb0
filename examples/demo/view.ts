import type { Fleet } from './fleet.js'
import type { Load } from './load.js'

const REDRAW_MS = 250
const LINE_MS = 2_000

/** Shows the nodes while they run: a table that redraws itself on a terminal, a line now and then elsewhere. */
export class View {
  readonly #fleet: Fleet
  readonly #load: Load
  readonly #live: boolean
  readonly #timer: NodeJS.Timeout
  readonly #startedAt = Date.now()
  #drawn = 0
  #stopped = false
  #caption = ''

  constructor(fleet: Fleet, load: Load) {
    this.#fleet = fleet
    this.#load = load
    this.#live = process.stdout.isTTY === true
    this.#timer = setInterval(() => this.#draw(), this.#live ? REDRAW_MS : LINE_MS)
  }

  /** Says what happens now. */
  say(text: string): void {
    this.#caption = text
    if (this.#live) this.#draw()
    else console.log(`${this.#elapsed()}  ${text}`)
  }

  /** Draws a last time and leaves the table standing; again, does nothing. */
  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    clearInterval(this.#timer)
    this.#draw()
  }

  #draw(): void {
    if (!this.#live) return void console.log(`${this.#elapsed()}  ${this.#short()}`)
    const lines = this.#table()
    if (this.#drawn > 0) process.stdout.write(`\u001b[${this.#drawn}A`)
    process.stdout.write(lines.map(line => `\u001b[2K${line}\n`).join(''))
    this.#drawn = lines.length
  }

  #table(): string[] {
    const rows = this.#fleet.rows().map(row => {
      const members = row.members ? row.members.join(' ') : '-'
      const cells = [row.name, row.state, members, String(row.sessions ?? '-'), String(row.pendingDeltas ?? '-')]
      return cells.map((cell, index) => cell.padEnd([8, 10, 18, 10, 8][index] ?? 0)).join('')
    })
    const { requests, clientErrors, lostSessions, lostWrites } = this.#load.figures
    return [
      `node    state     sees              sessions  pending`,
      ...rows,
      `requests ${requests}, errors ${clientErrors}, lost sessions ${lostSessions}, lost writes ${lostWrites}`,
      `${this.#elapsed()}  ${this.#caption}`.slice(0, (process.stdout.columns ?? 80) - 1),
    ]
  }

  #short(): string {
    const nodes = this.#fleet
      .rows()
      .map(row =>
        row.sessions === undefined
          ? `${row.name} ${row.state}`
          : `${row.name} ${row.state} sees ${row.members?.length ?? 0}, ${row.sessions} sessions, ${row.pendingDeltas ?? '?'} pending`,
      )
    return `${nodes.join(' | ')} | ${this.#load.figures.requests} requests`
  }

  #elapsed(): string {
    return `${((Date.now() - this.#startedAt) / 1_000).toFixed(1).padStart(5)} s`
  }
}
