/**
 * The rules replication rests on, each of which can be broken on purpose so that a test can prove it notices.
 * Only for tests: with any of them off, sessions are lost or come back.
 */
export interface ReplicationRules {
  /** A donor's seen-set is claimed after the last bucket, never at the start. */
  readonly claimV0Last: boolean
  /** A delta waits for what its writer had seen of the record. */
  readonly checkDeps: boolean
  /** A record whose creation was seen and which is not there was removed. */
  readonly ruleR: boolean
  /** A tombstone stays until the creation it covers has been seen. */
  readonly keepTombstoneUntilSeen: boolean
  /** Digests tell the ranges above the gap-free prefix. */
  readonly digestRanges: boolean
  /** Merging a whole record marks the dots it contains as seen. */
  readonly markRecordDots: boolean
  /** All holders are asked before a record expires. */
  readonly checkBeforeExpire: boolean
  /** A newcomer takes over the list of absent members. */
  readonly inheritAbsent: boolean
  /** A record hidden by an expiry is kept until this member has seen all that the others have seen. */
  readonly expiredTombstoneNeedsAgreement: boolean
  /** The objection to an expiry is a numbered delta, not a mere touch. */
  readonly renewAsDelta: boolean
  /** Whoever has ended a record for good and meets news of it ends it for everybody, with a numbered delta. */
  readonly removalAsDelta: boolean
  /** An invalidation beats any other write, also a later one. */
  readonly absorbingInvalidate: boolean
  /** A delta is acknowledged as applied only when it is merged and marked. */
  readonly ackAfterMerge: boolean
  /** An origin is closed only when none of its records is held. */
  readonly closeUnheldOnly: boolean
  /** What another member has closed is closed here, too. */
  readonly closeAsOthers: boolean
  /** Whose own origin is closed writes under a new one. */
  readonly renewOrigin: boolean
}

/** Every rule kept, as it must be outside of tests. */
export const ALL_RULES: ReplicationRules = {
  claimV0Last: true,
  checkDeps: true,
  ruleR: true,
  keepTombstoneUntilSeen: true,
  digestRanges: true,
  markRecordDots: true,
  checkBeforeExpire: true,
  inheritAbsent: true,
  expiredTombstoneNeedsAgreement: true,
  renewAsDelta: true,
  removalAsDelta: true,
  absorbingInvalidate: true,
  ackAfterMerge: true,
  closeUnheldOnly: true,
  closeAsOthers: true,
  renewOrigin: true,
}
