import type { LoopbackGroup } from '../loopback.js'
import type { MemberProcess } from '../member-process.js'
import type { Candidate } from '../membership-group.js'
import type { MembershipNews } from '../membership-member.js'

/** A process with Tomcat Tribes that can become a member; it runs TribesMembership. */
export class TribesCandidate implements Candidate {
  readonly loaded: Promise<void>
  readonly #process: MemberProcess
  readonly #group: LoopbackGroup

  constructor(process: MemberProcess, group: LoopbackGroup) {
    this.#process = process
    this.#group = group
    this.loaded = process.reply('ready').then(() => {})
    this.loaded.catch(() => {})
  }

  set onNews(hear: (news: MembershipNews) => void) {
    this.#process.onTold = what => hear(what as MembershipNews)
  }

  async join(name: string): Promise<{ calledAt: number; readyAt: number }> {
    const { multicastPort, receiverPort } = this.#group
    const { startedAt = 0, endedAt = 0 } = await this.#process.ask('join', { name, multicastPort, receiverPort })
    return { calledAt: startedAt, readyAt: endedAt }
  }

  async leave(): Promise<{ calledAt: number }> {
    const { startedAt = 0 } = await this.#process.ask('leave')
    return { calledAt: startedAt }
  }

  async others(): Promise<number> {
    const { count = 0 } = await this.#process.ask('members')
    return count
  }

  kill(): void {
    this.#process.kill()
  }

  stop(): Promise<void> {
    return this.#process.end()
  }
}
