import { readdirSync, readFileSync } from 'node:fs'
import test from 'ava'
import { decodeMessage } from '../../lib/replication/codec.js'
import { decodeFrame } from '../../lib/wire/codec.js'
import { decodeDatagram } from '../../lib/wire/datagram.js'
import { PREFIX_BYTES } from '../../lib/wire/frame.js'
import { wireJson } from '../helpers/wire-json.js'

// What a release has written stays as it is: these files are never changed, new releases get folders of their own.
const folder = new URL('../../../test/golden/0.1/', import.meta.url)
const names = readdirSync(folder).flatMap(file => /^(.*)\.hex$/.exec(file)?.[1] ?? [])
const values = JSON.parse(readFileSync(new URL('values.json', folder), 'utf8')) as Readonly<Record<string, unknown>>

function decoded(name: string): unknown {
  const bytes = Buffer.from(readFileSync(new URL(`${name}.hex`, folder), 'latin1').trim(), 'hex')
  if (name === 'datagram') return decodeDatagram(bytes)
  return name.startsWith('replication-') ? decodeMessage(bytes) : decodeFrame(bytes.subarray(PREFIX_BYTES))
}

/** `now` as far as `then` knew of it: what was added since is left out. */
function known(now: unknown, then: unknown): unknown {
  if (Array.isArray(now) && Array.isArray(then)) return now.map((each, index) => known(each, then[index]))
  if (typeof now !== 'object' || now === null || typeof then !== 'object' || then === null) return now
  return Object.fromEntries(
    Object.entries(then).map(([key, each]) => [key, known((now as Record<string, unknown>)[key], each)]),
  )
}

for (const name of names) {
  test(`0.1 ${name} means what it meant`, t => {
    const now = wireJson(decoded(name))
    t.deepEqual(known(now, values[name]), values[name])
  })
}

test('every frozen message has its value', t => {
  t.deepEqual(names.sort(), Object.keys(values).sort())
  t.true(names.length >= 26)
})
