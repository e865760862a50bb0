import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const run = promisify(execFile)

/** There is nothing to build: this is no clone, or not a whole one. */
export class NoHistoryError extends Error {}

/**
 * Takes a commit's files out of this repository's history, without touching its worktree, and compiles them with the
 * compiler and the packages of today, in a directory that goes when this process ends.
 *
 * @returns Its demo's server.
 * @throws {NoHistoryError} when the commit is not there
 */
export async function buildOld(commit: string): Promise<string> {
  try {
    await run('git', ['-C', ROOT, 'cat-file', '-e', `${commit}^{commit}`])
  } catch {
    throw new NoHistoryError(`commit ${commit} is not in the history here (no clone, or a shallow one)`)
  }
  const dir = await mkdtemp(join(tmpdir(), 'tribeline-old-'))
  process.on('exit', () => rmSync(dir, { recursive: true, force: true }))
  const archive = join(dir, 'old.tar')
  const source = join(dir, 'source')
  await mkdir(source)
  await run('git', ['-C', ROOT, 'archive', `--output=${archive}`, commit])
  await run('tar', ['-xf', archive, '-C', source])
  await symlink(join(ROOT, 'node_modules'), join(source, 'node_modules'))
  const project = { extends: './tsconfig.json', include: ['lib', 'examples/demo'], compilerOptions: { outDir: 'dist' } }
  await writeFile(join(source, 'tsconfig.old.json'), JSON.stringify(project))
  await run(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', join(source, 'tsconfig.old.json')])
  return join(source, 'dist/examples/demo/server.js')
}
