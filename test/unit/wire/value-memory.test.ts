import { Buffer } from 'node:buffer'
import test from 'ava'
import { copyFrom, copyOf, memoryFor } from '../../../lib/wire/value-memory.js'

test('copies are the same bytes, of any length, and their own', t => {
  const source = Buffer.from(Array.from({ length: 10_000 }, (_, at) => at & 255))
  const copies: [Uint8Array, number, number][] = []
  for (let length = 0; length < 5_000; length += length < 100 ? 1 : 97) {
    const at = (length * 31) % 4_000
    copies.push([copyFrom(source, at, length), at, length])
    copies.push([copyOf(source.subarray(at, at + length)), at, length])
  }
  const before = Buffer.from(source)
  source.fill(0)
  for (const [copy, at, length] of copies) t.deepEqual(Buffer.from(copy), before.subarray(at, at + length))
  for (const [copy] of copies.slice(1, 200)) copy.fill(1)
  t.deepEqual(Buffer.from(copies[0]?.[0] as Uint8Array), before.subarray(0, 0))
  t.deepEqual(Buffer.from(copies.at(-1)?.[0] as Uint8Array), before.subarray(...placeOf(copies.at(-1))))
})

test('memory given out is nobody else’s, whatever its length', t => {
  const given = Array.from({ length: 600 }, (_, n) => memoryFor((n * 37) % 2_100).fill(n))
  for (const [n, bytes] of given.entries()) {
    t.is(bytes.length, (n * 37) % 2_100)
    t.true(bytes.every(byte => byte === (n & 255)))
  }
})

function placeOf([, at, length]: [Uint8Array, number, number] = [new Uint8Array(0), 0, 0]): [number, number] {
  return [at, at + length]
}
