import { MessageTooLargeError } from '../errors.js'
import { textBytes } from './codec-writer.js'
import type { DeltaWrites } from './delta.js'
import type { ReplicaRecord } from './record.js'

/** Attributes of one record. */
export const ATTRIBUTES_MAX = 1_024
/** Names one record remembers, removed ones included: these stay as stamps. */
export const NAMES_MAX = 16_384
/** Length of an attribute's name, in UTF-8 bytes. */
export const NAME_BYTES_MAX = 256
/** Size of one value, in bytes. */
export const VALUE_BYTES_MAX: number = 1024 * 1024
/** Names and values of one record, in bytes. */
export const RECORD_BYTES_MAX: number = 4 * 1024 * 1024

/** @throws {MessageTooLargeError} when the writes would take a record beyond its limits; nothing has changed then. */
export function checkLimits(writes: DeltaWrites, record: ReplicaRecord | undefined): void {
  let names = record?.attributes.size ?? 0
  let added = 0
  let bytes = record?.bytes ?? 0
  for (let place = 0; place < writes.size; place++) {
    const name = writes.nameAt(place)
    const value = writes.valueAt(place)
    const nameBytes = name.length > NAME_BYTES_MAX ? name.length : textBytes(name)
    const size = value?.length ?? 0
    if (nameBytes > NAME_BYTES_MAX) throw new MessageTooLargeError('An attribute name', nameBytes, NAME_BYTES_MAX)
    if (size > VALUE_BYTES_MAX) throw new MessageTooLargeError(`The value of ${told(name)}`, size, VALUE_BYTES_MAX)
    const before = record?.attributes.get(name)
    if (before === undefined) names++
    if (value !== undefined) added += before?.value === undefined ? 1 : 0
    else added -= before?.value === undefined ? 0 : 1
    bytes += size + nameBytes - (before === undefined ? 0 : nameBytes + (before.value?.length ?? 0))
  }
  if (added > 0 && names > ATTRIBUTES_MAX) {
    const live = added + (record?.live().size ?? 0)
    if (live > ATTRIBUTES_MAX) throw new MessageTooLargeError('A record', live, ATTRIBUTES_MAX, 'attributes')
  }
  if (names > NAMES_MAX) throw new MessageTooLargeError('A record', names, NAMES_MAX, 'names, removed ones included')
  if (bytes > RECORD_BYTES_MAX) throw new MessageTooLargeError('A record', bytes, RECORD_BYTES_MAX)
}

/** The name as the application knows it, without what the library puts in front. */
function told(name: string): string {
  return JSON.stringify(name.slice(name.lastIndexOf('\u0000') + 1))
}
