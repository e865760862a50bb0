import { Buffer } from 'node:buffer'
import { readFileSync } from 'node:fs'
import protobuf from 'protobufjs'

/** The cart of the bench, described: its names do not travel. */
const CART = `
  syntax = "proto3";
  message Item { string article = 1; uint32 count = 2; double price = 3; }
  message Cart { string user = 1; repeated Item items = 2; string currency = 3; bool gift = 4; }
`

/** A delta as its sender and its receiver know it. */
export interface PlainDelta {
  readonly stamp: { readonly origin: string; readonly seq: number; readonly wallMs: number; readonly counter: number }
  readonly created: number
  readonly deps: readonly (readonly [origin: string, seq: number])[]
  readonly writes: { readonly [name: string]: object }
}

/**
 * The same messages through protobufjs as its manual says, with our own `.proto` files: what it takes to do without
 * hand-written codecs. Values are messages with a schema, which sessions have not.
 */
export class PlainProtobuf {
  readonly #cart: protobuf.Type
  readonly #message: protobuf.Type
  readonly #frame: protobuf.Type

  constructor() {
    this.#cart = protobuf.parse(CART).root.lookupType('Cart')
    this.#message = typeIn('replication/replication.proto', 'tribeline.replication.ReplicationMessage')
    this.#frame = typeIn('wire/tribeline.proto', 'tribeline.Frame')
  }

  encodeValue(value: object): Uint8Array {
    return this.#cart.encode(value).finish()
  }

  decodeValue(bytes: Uint8Array): object {
    return this.#cart.decode(bytes)
  }

  encodeDelta({ stamp, created, deps, writes }: PlainDelta): Uint8Array {
    const origin = Buffer.from(stamp.origin, 'hex')
    const delta = {
      ...stamp,
      kind: 1,
      origin,
      keySeq: created,
      deps: deps.map(([member, seq]) => ({ origin: Buffer.from(member, 'hex'), seq })),
      writes: Object.entries(writes).map(([name, value]) => ({ name, value: this.encodeValue(value) })),
    }
    return this.#message.encode({ kind: 1, delta }).finish()
  }

  decodeDelta(bytes: Uint8Array): PlainDelta {
    const { delta } = this.#message.decode(bytes) as unknown as { delta: DecodedDelta }
    const { origin, seq, wallMs, counter, keySeq } = delta
    return {
      stamp: { origin: hex(origin), seq: whole(seq), wallMs: whole(wallMs), counter },
      created: whole(keySeq),
      deps: delta.deps.map(dep => [hex(dep.origin), whole(dep.seq)]),
      writes: Object.fromEntries(delta.writes.map(({ name, value }) => [name, this.decodeValue(value)])),
    }
  }

  encodeFrame(topic: string, ack: number, delta: PlainDelta): Uint8Array {
    return this.#frame.encode({ message: { topic, ack, payload: this.encodeDelta(delta) } }).finish()
  }

  decodeFrame(bytes: Uint8Array): PlainDelta {
    const { message } = this.#frame.decode(bytes) as unknown as { message: { payload: Uint8Array } }
    return this.decodeDelta(message.payload)
  }
}

/** What protobufjs makes of a uint64: an object of two halves, which says its number. */
type Uint64 = { toNumber(): number } | number

/** What protobufjs makes of a `Delta`, as far as it is used. */
interface DecodedDelta {
  readonly origin: Uint8Array
  readonly seq: Uint64
  readonly wallMs: Uint64
  readonly counter: number
  readonly keySeq: Uint64
  readonly deps: readonly { readonly origin: Uint8Array; readonly seq: Uint64 }[]
  readonly writes: readonly { readonly name: string; readonly value: Uint8Array }[]
}

function typeIn(file: string, name: string): protobuf.Type {
  const source = new URL(`../../lib/${file}`, import.meta.url)
  return protobuf.parse(readFileSync(source, 'utf8')).root.lookupType(name)
}

function whole(value: Uint64): number {
  return typeof value === 'number' ? value : value.toNumber()
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}
