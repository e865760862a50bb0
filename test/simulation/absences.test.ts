import test from 'ava'
import { Absences, type Witness } from './absences.js'

const FORGET_MS = 1_000
const LOOK_MS = 500

/** Two members, of whom one loses the other for a while, looked at as often as in a run. */
class Pair {
  readonly absences = new Absences()
  readonly live: readonly Witness[]
  #now = 0

  constructor(lostAtMs: number, backAtMs: number) {
    const isLost = (): boolean => this.#now >= lostAtMs && this.#now < backAtMs
    const one: Witness = {
      id: 'a',
      presentSinceMs: () => (isLost() ? undefined : this.#now < lostAtMs ? 0 : backAtMs),
      lostAtMs: () => (this.#now < lostAtMs ? undefined : lostAtMs),
    }
    this.live = [one, { id: 'b', presentSinceMs: () => 0, lostAtMs: () => undefined }]
  }

  isForgetfulAt(ms: number): boolean {
    for (this.#now += LOOK_MS; this.#now <= ms; this.#now += LOOK_MS)
      this.absences.observe(this.live, this.#now, FORGET_MS)
    this.#now = ms
    return this.absences.isForgetful(this.live[0]!, this.live, ms)
  }
}

test('who has lost another for long enough has forgotten it, also between two looks', t => {
  t.false(new Pair(740, 9_000).isForgetfulAt(1_500))
  t.true(new Pair(740, 9_000).isForgetfulAt(1_760))
})

test('who came back before the next look may have been forgotten, and later no more', t => {
  t.true(new Pair(740, 1_800).isForgetfulAt(1_900))
  t.true(new Pair(740, 1_800).isForgetfulAt(2_000))
  t.false(new Pair(740, 1_800).isForgetfulAt(3_000))
})

test('who came back in time was not forgotten', t => {
  t.false(new Pair(740, 1_400).isForgetfulAt(1_500))
  t.false(new Pair(740, 1_400).isForgetfulAt(1_900))
  t.false(new Pair(740, 1_400).isForgetfulAt(2_000))
})
