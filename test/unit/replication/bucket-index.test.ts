import test from 'ava'
import { BucketIndex, bucketOf } from '../../../lib/replication/bucket-index.js'
import { type Hash64, xor, ZERO_HASH } from '../../../lib/replication/mix.js'

test('hashes are those of the records as they are, however many changed since they were asked for', t => {
  const index = new BucketIndex(() => true)
  const records = Array.from({ length: 5_000 }, (_, n) => {
    const key = `${'a'.repeat(32)}#${n + 1}`
    const hash: Hash64 = { high: n + 1, low: 7 * n }
    return { key, bucket: bucketOf(key), hash, counted: undefined as Hash64 | undefined }
  })
  for (const { bucket, key, hash } of records) index.add(bucket, key, hash)
  for (const record of records) {
    index.changing(record)
    record.hash = { high: record.hash.high + 1_000_000, low: record.hash.low }
  }
  const { high, low } = records.reduce((sum, { hash }) => xor(sum, hash), ZERO_HASH)
  t.deepEqual(index.total, { high: high >>> 0, low: low >>> 0 })
})
