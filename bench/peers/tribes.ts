import { execFileSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { LoopbackGroup } from '../loopback.js'
import { type Group, Groups } from '../measurement.js'
import { MemberProcess } from '../member-process.js'
import type { Candidate } from '../membership-group.js'
import { TribesCandidate } from './tribes-candidate.js'

const JARS = '/usr/share/java'
const PROGRAMS = ['TribesMember', 'TribesMembership'] as const
const NEEDED = [/^tomcat\d+-tribes\.jar$/, /^tomcat\d+-juli\.jar$/]

/** Tomcat Tribes, each member a Java process. */
export class TribesPeer {
  readonly version: string
  readonly #classPath: string
  readonly #folder: string
  readonly #groups = new Groups()

  /** Compiles the programs of members. */
  constructor() {
    const jars = jarsOf()
    this.#folder = mkdtempSync(join(tmpdir(), 'bench-tribes-'))
    // The compiled benchmark lies one folder below the sources.
    const sources = ['Orders', ...PROGRAMS].map(name =>
      fileURLToPath(new URL(`../../../bench/peers/${name}.java`, import.meta.url)),
    )
    execFileSync('javac', ['-d', this.#folder, '-cp', jars.join(delimiter), ...sources], { stdio: ['ignore', 2, 2] })
    this.#classPath = [this.#folder, ...jars].join(delimiter)
    const tribes = readdirSync(JARS).find(name => /^tomcat\d+-tribes-[\d.]+\.jar$/.test(name))
    this.version = `${/-([\d.]+)\.jar/.exec(tribes ?? '')?.[1] ?? '?'}, ${javaVersion()}`
  }

  /** Why it cannot be measured here and what to do about it; undefined: it can. */
  static missing(): string | undefined {
    if (javaVersion() === undefined) return 'not installed: apt-get install default-jdk-headless libtomcat10-java'
    return jarsOf().length < NEEDED.length ? 'not installed: apt-get install libtomcat10-java' : undefined
  }

  /** Starts a group of `nodes`; the first is the one that writes. */
  async group(nodes: number): Promise<Group> {
    const [multicastPort, receiverPort] = [randomInt(20_000, 30_000), randomInt(30_000, 32_000)]
    const members: MemberProcess[] = []
    const group = this.#groups.add({ members })
    for (let index = 0; index < nodes; index++) {
      const member = this.#start('TribesMember', `tribes ${index}`, '2g', [`${multicastPort}`, `${receiverPort}`])
      members.push(member)
      await member.reply('ready')
    }
    await Promise.all(members.map(member => member.ask('members', { count: nodes })))
    return group
  }

  /** A process that may join `group` and leave it again. */
  candidate(group: LoopbackGroup): Candidate {
    return new TribesCandidate(this.#start('TribesMembership', 'tribes', '256m', []), group)
  }

  /** Ends the groups; more may follow. */
  async endGroups(): Promise<void> {
    await this.#groups.end()
  }

  /** Ends everything. */
  async end(): Promise<void> {
    await this.endGroups()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #start(program: (typeof PROGRAMS)[number], name: string, heap: string, args: readonly string[]): MemberProcess {
    const flags = [`-Xmx${heap}`, '-Djava.net.preferIPv4Stack=true', '-cp', this.#classPath]
    return new MemberProcess('java', [...flags, program, ...args], name)
  }
}

function jarsOf(): string[] {
  if (!existsSync(JARS)) return []
  const names = readdirSync(JARS).sort()
  return NEEDED.flatMap(pattern => names.findLast(name => pattern.test(name)) ?? []).map(name => join(JARS, name))
}

function javaVersion(): string | undefined {
  try {
    return execFileSync('javac', ['-version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return undefined
  }
}
