import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import ts from 'typescript'

/** The package as its users meet it: by name, through its own `exports`, from ESM, CommonJS and the type checker. */

const root = process.cwd()
const { name: packageName, exports: entries } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  readonly name: string
  readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>
}
const modules = Object.entries(entries).flatMap(([entry, target]) =>
  typeof target === 'string' ? [] : [{ specifier: packageName + entry.slice(1), ...target }],
)

/** Runs a script in the root of the package, where its own name leads to itself. */
async function run(kind: 'module' | 'commonjs', code: string): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [`--input-type=${kind}`, '--eval', code], {
    cwd: root,
  })
  return stdout
}

test('import and require give the same modules, with the same classes', async t => {
  const names = (source: string): string => `Object.keys(${source}).filter(name => name !== '__esModule').sort().join()`
  for (const { specifier } of modules) {
    const imported = await run('module', `process.stdout.write(${names(`await import('${specifier}')`)})`)
    const required = await run('commonjs', `process.stdout.write(${names(`require('${specifier}')`)})`)
    t.is(required, imported)
    t.true(imported.length > 0)
  }
  const same = await run(
    'commonjs',
    `const { TribelineError } = require('${packageName}')
    import('${packageName}').then(other => process.stdout.write(String(other.TribelineError === TribelineError)))`,
  )
  t.is(same, 'true')
})

test('from CommonJS a cluster starts, stores a session and leaves, and the process ends by itself', async t => {
  const told = await run(
    'commonjs',
    `const { createCluster } = require('${packageName}')
    const { clusterSession } = require('${packageName}/http')
    const main = async () => {
      const cluster = await createCluster({
        membership: { service: 'static' },
        receiver: { address: '127.0.0.1', port: 0 },
      })
      const session = cluster.sessions.create()
      session.set('n', 1)
      await cluster.sessions.commit(session)
      process.stdout.write(typeof clusterSession + cluster.sessions.find(session.id).get('n'))
      await cluster.leave()
    }
    main()`,
  )
  t.is(told, 'function1')
})

test('what is not exported cannot be reached', async t => {
  const error = await t.throwsAsync(run('module', `await import('${packageName}/dist/lib/cluster.js')`))
  t.regex(error?.message ?? '', /ERR_PACKAGE_PATH_NOT_EXPORTED/)
  t.is((await run('commonjs', `process.stdout.write(require('${packageName}/package.json').name)`)).trim(), packageName)
})

test('the types check from an ES module and from a CommonJS one', t => {
  const use = `
    const options: ClusterOptions = { name: 'a', sessions: { copies: 'all' } }
    export async function use(): Promise<number> {
      const cluster = await createCluster(options)
      const stats: ReplicatedMapStats = cluster.map<number>('m').stats()
      return stats.undecodable
    }
  `
  const types = `import type { ClusterOptions, ReplicatedMapStats } from '${packageName}'\n`
  const problems = check({
    'esm.mts': `${types}import { createCluster } from '${packageName}'\n${use}`,
    'cjs.cts': `${types}import { createCluster } from '${packageName}'\n${use}`,
    'wrong.mts': `import type { NoSuchType } from '${packageName}'\nexport type X = NoSuchType\n`,
  })
  t.is(problems.length, 1, problems.join('\n'))
  t.regex(problems[0] ?? '', /wrong\.mts.*NoSuchType/)
})

for (const exactOptionalPropertyTypes of [true, false]) {
  const title = exactOptionalPropertyTypes ? 'with' : 'without'
  test(`our declarations have no error of their own, ${title} exactOptionalPropertyTypes`, t => {
    const built = fileURLToPath(new URL('../../lib/', import.meta.url))
    const files = modules.map(({ types }) => path.join(built, '../..', types))
    const program = ts.createProgram(files, { ...OPTIONS, exactOptionalPropertyTypes, skipLibCheck: false })
    const ours = program.getSourceFiles().filter(({ fileName }) => path.normalize(fileName).startsWith(built))
    t.true(ours.length > files.length)
    t.deepEqual(ours.flatMap(source => program.getSemanticDiagnostics(source)).map(said), [])
  })
}

const OPTIONS: ts.CompilerOptions = {
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  target: ts.ScriptTarget.ES2023,
  lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
  types: ['node'],
  strict: true,
  noEmit: true,
}

function said({ file, messageText }: ts.Diagnostic): string {
  return `${path.basename(file?.fileName ?? '')}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`
}

/** Type errors of files that exist only here. */
function check(files: Readonly<Record<string, string>>): string[] {
  const options: ts.CompilerOptions = { ...OPTIONS, skipLibCheck: true }
  const host = ts.createCompilerHost(options)
  const texts = new Map(Object.entries(files).map(([file, text]) => [path.join(root, file), text]))
  const { readFile, fileExists } = host
  host.readFile = file => texts.get(path.normalize(file)) ?? readFile(file)
  host.fileExists = file => texts.has(path.normalize(file)) || fileExists(file)
  const program = ts.createProgram([...texts.keys()], options, host)
  return [...texts.keys()].flatMap(file => {
    const source = program.getSourceFile(file)
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map(said)
  })
}

/**
 * Types that public signatures name and users have no use for: what only our own parts construct, and what lies behind
 * the window for tools and tests.
 */
const INTERNAL: readonly string[] = [
  // Taken by constructors that only our own parts call.
  'ResolvedClusterOptions',
  'DeltaManagerParts',
  'UsersParts',
  'AjpContext',
  'ScopeEnvironment',
  'SessionBacking',
  'SessionStart',
  'SimLink',
  // The replica below the sessions, and what our own store and manager ask of a session.
  'ReplicaScope',
  'AttributeWrites',
  'RecordKey',
  'SessionDelta',
  // Names for types of express-session and of a callback.
  'Store',
  'Callback',
]

test('every type that a public signature names can be imported', t => {
  const graph = new Declarations()
  const built = fileURLToPath(new URL('../..', import.meta.url))
  const shown = new Set(
    modules.flatMap(({ types }) => [...graph.exportsOf(path.join(built, types.replace('./dist/', ''))).values()]),
  )
  const missing = new Set<string>()
  for (const declaration of shown)
    for (const [used, by] of graph.usedBy(declaration)) {
      const name = used.slice(used.indexOf('#') + 1)
      if (!shown.has(used) && !INTERNAL.includes(name)) missing.add(`${name}, named by ${by}`)
    }
  t.deepEqual([...missing].sort(), [])
})

/** The .d.ts files, read without a type checker: which names a module exports, and which a declaration uses. */
class Declarations {
  readonly #files = new Map<string, ts.SourceFile>()

  /** Exported name → `file#name` of its declaration. */
  exportsOf(file: string): Map<string, string> {
    const result = new Map<string, string>()
    for (const statement of this.#parse(file).statements) {
      if (!ts.isExportDeclaration(statement)) {
        for (const name of declaredNames(statement)) if (isExported(statement)) result.set(name, `${file}#${name}`)
        continue
      }
      const target = this.#resolve(file, statement.moduleSpecifier)
      const all = target === undefined ? undefined : this.exportsOf(target)
      const named = statement.exportClause
      if (named === undefined) for (const [name, declaration] of all ?? []) result.set(name, declaration)
      else if (ts.isNamedExports(named)) {
        for (const { name, propertyName } of named.elements) {
          const inner = (propertyName ?? name).text
          result.set(name.text, all?.get(inner) ?? this.#find(file, inner) ?? `${file}#${inner}`)
        }
      }
    }
    return result
  }

  /** Declarations of this package that the types of a declaration name, each with who names it. */
  *usedBy(declaration: string): Generator<readonly [used: string, by: string]> {
    const [file = '', wanted = ''] = declaration.split('#')
    for (const statement of this.#parse(file).statements) {
      if (!declaredNames(statement).includes(wanted)) continue
      for (const name of typeNames(statement)) {
        const used = this.#find(file, name)
        if (used !== undefined && used !== declaration) yield [used, wanted]
      }
    }
  }

  /** Where a name that a file uses is declared; undefined for globals, type parameters and other packages. */
  #find(file: string, name: string): string | undefined {
    for (const statement of this.#parse(file).statements) {
      if (declaredNames(statement).includes(name)) return `${file}#${name}`
      if (!ts.isImportDeclaration(statement)) continue
      const bindings = statement.importClause?.namedBindings
      if (bindings === undefined || !ts.isNamedImports(bindings)) continue
      const element = bindings.elements.find(one => one.name.text === name)
      const target = element && this.#resolve(file, statement.moduleSpecifier)
      if (element && target) return this.exportsOf(target).get((element.propertyName ?? element.name).text)
    }
    return undefined
  }

  #resolve(file: string, specifier: ts.Expression | undefined): string | undefined {
    if (specifier === undefined || !ts.isStringLiteral(specifier) || !specifier.text.startsWith('.')) return undefined
    return path.resolve(path.dirname(file), specifier.text.replace(/\.js$/, '.d.ts'))
  }

  #parse(file: string): ts.SourceFile {
    let parsed = this.#files.get(file)
    if (parsed === undefined) {
      if (!existsSync(file)) throw new Error(`${file} is missing: build first`)
      parsed = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.ES2023, true)
      this.#files.set(file, parsed)
    }
    return parsed
  }
}

function declaredNames(statement: ts.Statement): string[] {
  if (ts.isVariableStatement(statement)) {
    return statement.declarationList.declarations.map(({ name }) => name.getText())
  }
  const named =
    ts.isClassDeclaration(statement) ||
    ts.isInterfaceDeclaration(statement) ||
    ts.isTypeAliasDeclaration(statement) ||
    ts.isFunctionDeclaration(statement)
  return named && statement.name !== undefined ? [statement.name.text] : []
}

function isExported(statement: ts.Statement): boolean {
  return (
    (ts.getCombinedModifierFlags(statement as unknown as ts.Declaration) & ts.ModifierFlags.Export) !== 0 ||
    (ts.isVariableStatement(statement) &&
      statement.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) === true)
  )
}

/** Names used as types below a node, type parameters and private members left out. */
function typeNames(node: ts.Node): Set<string> {
  const names = new Set<string>()
  const parameters = new Set<string>()
  const visit = (each: ts.Node): void => {
    if (ts.canHaveModifiers(each) && each.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword)) return
    if (ts.isTypeParameterDeclaration(each)) parameters.add(each.name.text)
    if (ts.isTypeReferenceNode(each) && ts.isIdentifier(each.typeName)) names.add(each.typeName.text)
    if (ts.isExpressionWithTypeArguments(each) && ts.isIdentifier(each.expression)) names.add(each.expression.text)
    if (ts.isTypeQueryNode(each) && ts.isIdentifier(each.exprName)) names.add(each.exprName.text)
    ts.forEachChild(each, visit)
  }
  visit(node)
  for (const parameter of parameters) names.delete(parameter)
  return names
}
