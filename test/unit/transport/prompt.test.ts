import test from 'ava'
import type { Clock } from '../../../lib/runtime/runtime.js'
import { Prompt } from '../../../lib/transport/prompt.js'

class Turns implements Clock {
  readonly soons: (() => void)[] = []
  readonly nexts: (() => void)[] = []

  wall(): number {
    return 0
  }

  monotonic(): number {
    return 0
  }

  setTimer(): { cancel(): void } {
    return { cancel() {} }
  }

  soon(run: () => void): void {
    this.soons.push(run)
  }

  next(run: () => void): void {
    this.nexts.push(run)
  }

  /** The code that runs now is done. */
  done(): void {
    for (const run of this.nexts.splice(0)) run()
  }

  endOfTurn(): void {
    for (const run of this.soons.splice(0)) run()
  }
}

test('the first is run when the code is done, all others of the turn once at its end', t => {
  const clock = new Turns()
  let runs = 0
  const prompt = new Prompt(clock, () => runs++)
  prompt.ask()
  prompt.ask()
  t.is(runs, 0)
  clock.done()
  t.is(runs, 1)
  for (let n = 0; n < 3; n++) {
    prompt.ask()
    clock.done()
  }
  t.is(runs, 1)
  clock.endOfTurn()
  t.is(runs, 2)
  t.deepEqual([clock.soons, clock.nexts], [[], []])
  prompt.ask()
  clock.done()
  t.is(runs, 3)
  clock.endOfTurn()
  t.is(runs, 3)
})

test('the turn it ran in may be long over: then the second waits, and the third does not', t => {
  const clock = new Turns()
  let runs = 0
  const prompt = new Prompt(clock, () => runs++)
  for (let turn = 0; turn < 3; turn++) {
    prompt.ask()
    clock.done()
    t.is(runs, [1, 1, 3][turn] as number)
    clock.endOfTurn()
    t.is(runs, turn + 1)
  }
  prompt.renew()
  prompt.ask()
  clock.done()
  t.is(runs, 4)
  t.deepEqual([clock.soons, clock.nexts], [[], []])
})

test('what is asked for by the job itself is not lost', t => {
  const clock = new Turns()
  let runs = 0
  const prompt = new Prompt(clock, () => {
    if (++runs < 3) prompt.ask()
  })
  prompt.ask()
  clock.done()
  clock.endOfTurn()
  t.is(runs, 2)
  clock.done()
  clock.endOfTurn()
  t.is(runs, 3)
})

test('a clock that knows turns only has it run at their end', t => {
  const clock = new Turns()
  let runs = 0
  const prompt = new Prompt(
    { wall: clock.wall, monotonic: clock.monotonic, setTimer: clock.setTimer, soon: run => clock.soon(run) },
    () => runs++,
  )
  prompt.ask()
  prompt.ask()
  t.is(runs, 0)
  clock.endOfTurn()
  t.is(runs, 1)
})
