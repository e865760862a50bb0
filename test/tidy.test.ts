import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import test from 'ava'

/** From left to right: a folder imports only from those to its left. */
const LAYERS = ['runtime', 'wire', 'membership', 'transport', 'channel', 'replication', 'session', 'users', 'http']
/** Files that anyone may import. */
const LEAVES = ['errors', 'options']
/** The types of these may be used by the layers below them. */
const SHARED_TYPES = ['channel/topic', 'membership/member']
const LINES_MAX = 450
const LINE_LENGTH_MAX = 140

/** What protocol code must not name, and what it takes instead. */
const BANNED: readonly (readonly [RegExp, string])[] = [
  [/\bDate\.now\b/, 'clock.wall()'],
  [/\bperformance\.now\b/, 'clock.monotonic()'],
  [/\bset(Timeout|Interval)\b/, 'clock.setTimer()'],
  [/\bsetImmediate\b/, 'clock.soon()'],
  [/\bMath\.random\b|\brandomBytes\b|\brandomUUID\b/, 'random.bytes(), random.uint32()'],
  [/\bconsole\b/, 'debug or diagnostics_channel'],
  [/from 'node:(net|dgram|tls|os|timers(\/promises)?)'/, 'network'],
]

interface Source {
  /** Relative to the root of the repository. */
  readonly path: string
  readonly text: string
  /** Without comments; strings stay. */
  readonly code: string
}

const root = findRoot()
const lib = sources('lib')
const tests = sources('test')

test('a folder imports only from the layers to its left', t => {
  const wrong = lib.flatMap(({ path, code }) => {
    const folder = layerOf(path)
    return imports(code).flatMap(({ specifier, typeOnly }) => {
      const target = resolveFrom(path, specifier)
      return target === undefined || mayImport(folder, target, typeOnly) ? [] : [`${path} imports ${target}`]
    })
  })
  t.deepEqual(wrong, [])
})

test('time, randomness and the network come from the runtime', t => {
  const free = (path: string): boolean => path.startsWith('lib/runtime/node-') || path.startsWith('lib/testing/')
  const wrong = lib
    .filter(({ path }) => !free(path))
    .flatMap(({ path, code }) =>
      BANNED.filter(([pattern]) => pattern.test(code)).map(
        ([pattern, instead]) => `${path}: ${pattern}, use ${instead}`,
      ),
    )
  t.deepEqual(wrong, [])
})

test('every export says what it is', t => {
  const wrong = lib.flatMap(({ path, text }) => {
    const lines = text.split('\n')
    return lines.flatMap((line, index) => {
      const name = /^export (?:abstract |async )?(?:class|function\*?|interface|type|const) (\w+)/.exec(line)?.[1]
      return name === undefined || isDocumented(lines, index) ? [] : [`${path}:${index + 1} ${name}`]
    })
  })
  t.deepEqual(wrong, [])
})

test('files and lines stay short', t => {
  const long = lib.filter(({ text }) => text.split('\n').length > LINES_MAX + 1).map(({ path }) => path)
  const wide = [...lib, ...tests].flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, index) => (line.length > LINE_LENGTH_MAX ? [`${path}:${index + 1}`] : [])),
  )
  t.deepEqual([...long, ...wide], [])
})

test('no test is skipped or run alone', t => {
  const wrong = tests
    .filter(({ code }) => /\btest(\.\w+)*\.(skip|only|failing|todo)\b/.test(code))
    .map(({ path }) => path)
  t.deepEqual(wrong, [])
})

function findRoot(): string {
  for (let url = new URL('.', import.meta.url); url.pathname !== '/'; url = new URL('..', url)) {
    const path = fileURLToPath(url)
    if (readdirSync(path).includes('package.json')) return path
  }
  throw new Error('There is no package.json above this test')
}

function sources(folder: string): Source[] {
  return readdirSync(root + folder, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts'))
    .sort()
    .map(name => {
      const text = readFileSync(`${root}${folder}/${name}`, 'utf8')
      return { path: `${folder}/${name}`, text, code: withoutComments(text) }
    })
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1')
}

/** The layer's number; files of lib/ itself stand to the right of all, testing/ further still. */
function layerOf(path: string): number {
  const folder = path.split('/')[1] ?? ''
  if (folder === 'testing') return LAYERS.length + 1
  const layer = LAYERS.indexOf(folder)
  return layer >= 0 ? layer : LAYERS.length
}

function mayImport(layer: number, target: string, typeOnly: boolean): boolean {
  if (LEAVES.some(leaf => target === `lib/${leaf}`)) return true
  if (typeOnly && SHARED_TYPES.some(shared => target === `lib/${shared}`)) return true
  return layerOf(target) <= layer
}

function imports(code: string): { specifier: string; typeOnly: boolean }[] {
  const found = code.matchAll(/(import|export)(\s+type)?\s[^'"]*?from\s*'([^']+)'|import\('([^']+)'\)/g)
  return [...found].map(([, , type, specifier, dynamic]) => ({
    specifier: specifier ?? dynamic ?? '',
    typeOnly: type !== undefined || dynamic !== undefined,
  }))
}

/** The path of a relative import, without its ending; undefined for packages. */
function resolveFrom(path: string, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined
  return new URL(specifier, `file:///${path}`).pathname.slice(1).replace(/\.js$/, '')
}

function isDocumented(lines: readonly string[], index: number): boolean {
  const ignore = lines[index - 1]?.startsWith('// biome-ignore') === true
  const above = lines[index - (ignore ? 2 : 1)]?.trim() ?? ''
  const overload = /^export function (\w+)/.exec(lines[index] ?? '')?.[1]
  return above.endsWith('*/') || (overload !== undefined && above.startsWith(`export function ${overload}`))
}
