import { MessageTooLargeError } from '../errors.js'
import type { ReplicaRecord } from './record.js'
import type { AttributeWrites } from './replica-contract.js'

/** Attributes of one record, removed ones included. */
export const ATTRIBUTES_MAX = 1_024
/** Length of an attribute's name, in UTF-8 bytes. */
export const NAME_BYTES_MAX = 256
/** Size of one value, in bytes. */
export const VALUE_BYTES_MAX: number = 1024 * 1024
/** Names and values of one record, in bytes. */
export const RECORD_BYTES_MAX: number = 4 * 1024 * 1024

/** @throws {MessageTooLargeError} when the writes would take a record beyond its limits; nothing has changed then. */
export function checkLimits(writes: AttributeWrites, record: ReplicaRecord | undefined): void {
  let count = record?.attributes.size ?? 0
  let bytes = record?.bytes ?? 0
  for (const [name, value] of writes) {
    const nameBytes = name.length > NAME_BYTES_MAX ? name.length : Buffer.byteLength(name)
    const size = value?.length ?? 0
    if (nameBytes > NAME_BYTES_MAX) throw new MessageTooLargeError('An attribute name', nameBytes, NAME_BYTES_MAX)
    if (size > VALUE_BYTES_MAX) throw new MessageTooLargeError('An attribute value', size, VALUE_BYTES_MAX)
    const before = record?.attributes.get(name)
    if (before === undefined) count++
    bytes += size + nameBytes - (before === undefined ? 0 : nameBytes + (before.value?.length ?? 0))
  }
  if (count > ATTRIBUTES_MAX) throw new MessageTooLargeError('A record (attributes, not bytes)', count, ATTRIBUTES_MAX)
  if (bytes > RECORD_BYTES_MAX) throw new MessageTooLargeError('A record', bytes, RECORD_BYTES_MAX)
}
