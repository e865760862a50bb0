import { Worker } from 'node:worker_threads'
import { killMutant, type MutantResult, type RuleName } from './mutants.js'
import type { PaceName } from './pace.js'
import { runSeed, type SeedResult } from './run-seed.js'
import type { StackName } from './sim-node.js'

/** A piece of a campaign. */
export type Task =
  | {
      readonly kind: 'seed'
      readonly seed: number
      readonly stack: StackName
      readonly rule: RuleName | undefined
      readonly pace: PaceName | undefined
    }
  | {
      readonly kind: 'mutant'
      readonly rule: RuleName
      readonly stack: StackName
      readonly firstSeed: number
      readonly budget: number
    }

/** What a task came to. */
export type Outcome = SeedResult | MutantResult

/** Runs a task in this thread. */
export function runTask(task: Task): Promise<Outcome> {
  if (task.kind === 'mutant') return killMutant(task.rule, task.stack, task.firstSeed, task.budget)
  return runSeed(task.seed, task.stack, task.rule === undefined ? {} : { [task.rule]: false }, task.pace)
}

/**
 * Runs tasks on so many threads and hands their outcomes over in the order of the tasks, whichever ends first, so that
 * a campaign's figures do not depend on the threads.
 */
export async function runTasks(
  tasks: Iterable<Task>,
  threads: number,
  each: (outcome: Outcome, task: Task) => void,
): Promise<void> {
  const source = tasks[Symbol.iterator]()
  if (threads < 2) {
    for (let next = source.next(); next.done !== true; next = source.next()) each(await runTask(next.value), next.value)
    return
  }
  const early = new Map<number, { readonly outcome: Outcome; readonly task: Task }>()
  let taken = 0
  let told = 0
  const work = async (worker: Worker): Promise<void> => {
    for (let next = source.next(); next.done !== true; next = source.next()) {
      const order = taken++
      early.set(order, { outcome: await ask(worker, next.value), task: next.value })
      for (let ready = early.get(told); ready !== undefined; ready = early.get(told)) {
        early.delete(told++)
        each(ready.outcome, ready.task)
      }
    }
  }
  const workers = Array.from({ length: threads }, () => new Worker(new URL('./campaign-worker.js', import.meta.url)))
  try {
    await Promise.all(workers.map(work))
  } finally {
    await Promise.all(workers.map(worker => worker.terminate()))
  }
}

function ask(worker: Worker, task: Task): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const answered = (outcome: Outcome): void => {
      worker.off('error', failed).off('exit', ended)
      resolve(outcome)
    }
    const failed = (error: unknown): void => reject(error)
    const ended = (code: number): void => reject(new Error(`A worker ended with ${code}`))
    worker.once('message', answered).once('error', failed).once('exit', ended)
    worker.postMessage(task)
  })
}
