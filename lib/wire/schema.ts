import type { INamespace } from 'protobufjs/light.js'

/**
 * tribeline.proto as a descriptor, for reflection without a parser. A test parses the .proto and compares: change that
 * file first, then this one.
 */
export const schema: INamespace = {
  nested: {
    tribeline: {
      nested: {
        Member: {
          fields: {
            id: { type: 'bytes', id: 1 },
            name: { type: 'string', id: 2 },
            host: { type: 'string', id: 3 },
            port: { type: 'uint32', id: 4 },
          },
        },
        Advertisement: { fields: { topic: { type: 'string', id: 1 }, data: { type: 'bytes', id: 2 } } },
        Heartbeat: {
          fields: {
            group: { type: 'string', id: 1 },
            member: { type: 'Member', id: 2 },
            incarnation: { type: 'uint64', id: 3 },
            count: { type: 'uint64', id: 4 },
            view: { type: 'bytes', id: 5 },
            leaving: { type: 'bool', id: 6 },
            clusterTime: { type: 'uint64', id: 7 },
            advertisements: { rule: 'repeated', type: 'Advertisement', id: 8 },
          },
        },
        Purpose: { values: { CONTROL: 0, DATA: 1, BULK: 2, PROBE: 3 } },
        Hello: {
          fields: {
            protocolMin: { type: 'uint32', id: 1 },
            protocolMax: { type: 'uint32', id: 2 },
            group: { type: 'string', id: 3 },
            purpose: { type: 'Purpose', id: 4 },
            member: { type: 'Member', id: 5 },
            incarnation: { type: 'uint64', id: 6 },
            clusterTime: { type: 'uint64', id: 7 },
            clockSettled: { type: 'bool', id: 8 },
          },
        },
        Known: { fields: { member: { type: 'Member', id: 1 }, absent: { type: 'bool', id: 2 } } },
        Welcome: {
          fields: {
            protocol: { type: 'uint32', id: 1 },
            member: { type: 'Member', id: 2 },
            incarnation: { type: 'uint64', id: 3 },
            clusterTime: { type: 'uint64', id: 4 },
            clockSettled: { type: 'bool', id: 5 },
            known: { rule: 'repeated', type: 'Known', id: 6 },
          },
        },
        RefusalReason: {
          values: { GROUP: 0, PROTOCOL: 1, CLOCK: 2, SELF: 3, STOPPING: 4, SUPERSEDED: 5, LIMIT: 6 },
        },
        Refused: { fields: { reason: { type: 'RefusalReason', id: 1 }, detail: { type: 'string', id: 2 } } },
        Echo: { fields: { nonce: { type: 'uint64', id: 1 } } },
        EchoReply: {
          fields: {
            nonce: { type: 'uint64', id: 1 },
            clusterTime: { type: 'uint64', id: 2 },
          },
        },
        Goodbye: { fields: { member: { type: 'bytes', id: 1 } } },
        Message: {
          fields: {
            topic: { type: 'string', id: 1 },
            ack: { type: 'uint32', id: 2 },
            payload: { type: 'bytes', id: 3 },
          },
        },
        ExceptionReason: { values: { REJECTED: 0, DEFERRED: 1 } },
        AckException: {
          fields: { number: { type: 'uint64', id: 1 }, reason: { type: 'ExceptionReason', id: 2 } },
        },
        Ack: {
          fields: {
            received: { type: 'uint64', id: 1 },
            applied: { type: 'uint64', id: 2 },
            exceptions: { rule: 'repeated', type: 'AckException', id: 3 },
          },
        },
        Frame: {
          oneofs: {
            kind: {
              oneof: ['hello', 'welcome', 'refused', 'echo', 'echoReply', 'heartbeat', 'goodbye', 'message', 'ack'],
            },
          },
          fields: {
            hello: { type: 'Hello', id: 1 },
            welcome: { type: 'Welcome', id: 2 },
            refused: { type: 'Refused', id: 3 },
            echo: { type: 'Echo', id: 4 },
            echoReply: { type: 'EchoReply', id: 5 },
            heartbeat: { type: 'Heartbeat', id: 6 },
            goodbye: { type: 'Goodbye', id: 7 },
            message: { type: 'Message', id: 8 },
            ack: { type: 'Ack', id: 9 },
          },
        },
      },
    },
  },
}
