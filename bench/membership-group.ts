import { setTimeout as delay } from 'node:timers/promises'
import type { LoopbackGroup } from './loopback.js'
import type { MembershipNews, MembershipOrders } from './membership-member.js'
import { sharedNow, Worker } from './worker.js'

const KNOWN_WITHIN_MS = 20_000

/** A process that can become a member, of whatever library. Times are shared milliseconds. */
export interface Candidate {
  /** Resolves when the program is loaded. */
  readonly loaded: Promise<void>
  /** Hears who comes and goes in this member's eyes. */
  onNews: (news: MembershipNews) => void
  join(name: string): Promise<{ calledAt: number; readyAt: number }>
  leave(): Promise<{ calledAt: number }>
  /** How many others it sees. */
  others(): Promise<number>
  kill(): void
  stop(): Promise<void>
}

/** A process with this library. */
export class OurCandidate implements Candidate {
  readonly #worker = new Worker<MembershipOrders>('membership-member.js')
  readonly #group: LoopbackGroup

  constructor(group: LoopbackGroup) {
    this.#group = group
  }

  get loaded(): Promise<void> {
    return this.#worker.loaded
  }

  set onNews(hear: (news: MembershipNews) => void) {
    this.#worker.onTold = what => hear(what as MembershipNews)
  }

  join(name: string): Promise<{ calledAt: number; readyAt: number }> {
    return this.#worker.ask('join', { name, group: this.#group })
  }

  leave(): Promise<{ calledAt: number }> {
    return this.#worker.ask('leave', undefined)
  }

  async others(): Promise<number> {
    return (await this.#worker.ask('members', undefined)).length
  }

  kill(): void {
    this.#worker.kill()
  }

  stop(): Promise<void> {
    return this.#worker.stop()
  }
}

/** One group of processes that come and go. */
export class MembershipGroup {
  readonly #start: () => Candidate
  readonly #members = new Map<string, Candidate>()
  readonly #news: MembershipNews[] = []
  #spare: Candidate | undefined
  #next = 0
  #heard: () => void = () => {}

  /** `start` begins a process that will be a member. */
  constructor(start: () => Candidate) {
    this.#start = start
  }

  /** Has the next process loaded, so that a join is not the start of a program. */
  prepare(): Promise<void> {
    this.#spare ??= this.#start()
    return this.#spare.loaded
  }

  /** A process joins: until every other member knows of it, and until it has joined itself. */
  async join(): Promise<{ known: number; ready: number }> {
    await this.prepare()
    const candidate = this.#spare as Candidate
    this.#spare = undefined
    const name = `member${this.#next++}`
    const others = this.#members.size
    candidate.onNews = news => {
      this.#news.push(news)
      this.#heard()
    }
    const before = this.#news.length
    this.#members.set(name, candidate)
    const { calledAt, readyAt } = await candidate.join(name)
    const knownAt = others === 0 ? calledAt : await this.#known('added', name, others, before)
    await this.#complete()
    return { known: knownAt - calledAt, ready: readyAt - calledAt }
  }

  /** One member ends, by SIGKILL or by leaving: until every other one knows. */
  async end(how: 'kill' | 'leave', index: number): Promise<number> {
    const names = [...this.#members.keys()]
    const name = names[index % names.length] as string
    const candidate = this.#members.get(name) as Candidate
    this.#members.delete(name)
    const before = this.#news.length
    let startedAt = sharedNow()
    if (how === 'kill') candidate.kill()
    else startedAt = (await candidate.leave()).calledAt
    const known = (await this.#known('disappeared', name, this.#members.size, before)) - startedAt
    if (how === 'leave') await candidate.stop()
    return known
  }

  async stop(): Promise<void> {
    const all = [...this.#members.values(), ...(this.#spare ? [this.#spare] : [])]
    await Promise.all(all.map(candidate => candidate.stop()))
  }

  /** When the last of `count` members told of it. */
  async #known(event: MembershipNews['event'], member: string, count: number, from: number): Promise<number> {
    const told = (): MembershipNews[] =>
      this.#news.slice(from).filter(news => news.event === event && news.member === member)
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(
        () => reject(new Error(`${told().length} of ${count} knew that ${member} ${event}`)),
        KNOWN_WITHIN_MS,
      )
      this.#heard = () => {
        if (told().length >= count) resolve()
      }
      this.#heard()
    })
    clearTimeout(timer)
    this.#heard = () => {}
    return Math.max(...told().map(({ at }) => at))
  }

  /** Resolves when every member sees every other one. */
  async #complete(): Promise<void> {
    const members = [...this.#members.values()]
    for (;;) {
      const counts = await Promise.all(members.map(member => member.others()))
      if (counts.every(count => count === members.length - 1)) return
      await delay(20)
    }
  }
}
