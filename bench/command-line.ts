const FLAGS = new Set(['json', 'quick', 'help'])
const OUTPUTS = ['passes', 'compare', 'html']
/** What chooses cases; a bench that has none of a kind goes on without. */
const CHOICES = ['nodes', 'bytes', 'ack', 'writers', 'kind', 'framework', 'stack', 'requests', 'service', 'sessions']
const OPTIONS = new Set([...OUTPUTS, ...CHOICES])

/** Words of the command line: names of benches, `--flag`, `--option value`. Throws for options and values it does not take. */
export class CommandLine {
  readonly names: string[] = []
  readonly #values = new Map<string, string>()

  constructor(args: readonly string[]) {
    for (let at = 0; at < args.length; at++) {
      const arg = args[at] ?? ''
      if (!arg.startsWith('--')) this.names.push(arg)
      else if (FLAGS.has(arg.slice(2))) this.#values.set(arg.slice(2), '')
      else if (!OPTIONS.has(arg.slice(2))) throw new Error(`There is no option ${arg}; see --help`)
      else if (args[at + 1] === undefined) throw new Error(`${arg} needs a value`)
      else this.#values.set(arg.slice(2), args[++at] ?? '')
    }
  }

  has(name: string): boolean {
    return this.#values.has(name)
  }

  text(name: string): string | undefined {
    return this.#values.get(name)
  }

  /** See `BenchOptions.pick`. */
  pick<T extends string>(name: string, among: readonly T[]): T[] | undefined {
    return this.text(name)
      ?.split(',')
      .map(value => {
        const known = among.find(each => each === value)
        if (known === undefined) throw new Error(`--${name} is one or more of ${among.join(', ')}, not "${value}"`)
        return known
      })
  }

  /** See `BenchOptions.pickNumbers`. */
  pickNumbers(name: string): number[] | undefined {
    return this.text(name)
      ?.split(',')
      .map(value => {
        const number = Number(value)
        if (Number.isInteger(number) && number > 0) return number
        throw new Error(`--${name} takes whole numbers above 0, not "${value}"`)
      })
  }
}
