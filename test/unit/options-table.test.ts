import { readFileSync } from 'node:fs'
import test from 'ava'
import { resolveClusterOptions } from '../../lib/cluster-options.js'

const table = readFileSync(new URL('../../../lib/OPTIONS.md', import.meta.url), 'utf8')
/** Options whose default is no plain value, or is told in words. */
const IN_WORDS = new Set([
  'name',
  'rules',
  'interceptors',
  'codec',
  'shared',
  'application',
  'exclude',
  'members',
  'forgetMemberAfterMs',
])

/** Paths of all options with their defaults, as a user writes them. */
function paths(options: object, prefix = ''): (readonly [path: string, fallback: unknown])[] {
  return Object.entries(options).flatMap(([name, value]) => {
    const isBlock = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isBlock ? paths(value as object, `${prefix}${name}.`) : [[prefix + name, value] as const]
  })
}

/** What the table says of an option: its default, or nothing when it is not there. */
function told(path: string): string | undefined {
  const dot = path.indexOf('.')
  for (const [, names = '', fallbacks = ''] of table.matchAll(/^\| ([^|]+) \| ([^|]*) \|/gm)) {
    const [first = '', ...rest] = names.split(', ').map(name => name.replaceAll('`', ''))
    const block = first.slice(0, first.indexOf('.') + 1)
    const at = [first, ...rest.map(name => block + name.replace(/^\./, ''))].indexOf(path)
    const all = fallbacks.split(', ')
    if (at !== -1) return (all[at] ?? all[0])?.replaceAll('`', '')
  }
  return dot === -1 ? undefined : told(path.slice(dot + 1))
}

test('the table of options has every option with its default', t => {
  const { channel, replication, sessions, users } = resolveClusterOptions({}, 'node')
  const { interceptors: _interceptors, ...plain } = channel
  const wrong = paths({ ...plain, replication, sessions, users }).flatMap(([path, fallback]) => {
    const name = path.slice(path.lastIndexOf('.') + 1)
    if (path.startsWith('replication.rules.')) return []
    const found = told(path)
    if (found === undefined) return [`${path} is missing`]
    return IN_WORDS.has(name) || found === String(fallback) ? [] : [`${path} is ${fallback}, not ${found}`]
  })
  t.deepEqual(wrong, [])
})
