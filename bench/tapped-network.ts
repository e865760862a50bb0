import type { Network, Stream, StreamHandlers } from '../lib/runtime/runtime.js'

/** Hears how many bytes pass; each call is one read, one write, one datagram sent. */
export interface NetworkTap {
  read?(bytes: number): void
  written?(bytes: number): void
  datagram?(bytes: number): void
}

/** The same network, with somebody counting. */
export function tappedNetwork(network: Network, tap: NetworkTap): Network {
  const streams = new WeakMap<Stream, Stream>()
  const tapped = (stream: Stream): Stream => {
    let known = streams.get(stream)
    if (known === undefined) streams.set(stream, (known = tappedStream(stream, tap)))
    return known
  }
  return {
    addresses: () => network.addresses(),
    listen: (endpoint, accept) => network.listen(endpoint, stream => tappedHandlers(accept(tapped(stream)), tap)),
    connect: (endpoint, timeoutMs, handlers) =>
      tapped(network.connect(endpoint, timeoutMs, tappedHandlers(handlers, tap))),
    async bindDatagram(options, handlers) {
      const socket = await network.bindDatagram(options, handlers)
      return {
        close: () => socket.close(),
        send: (bytes, to) => {
          tap.datagram?.(bytes.length)
          socket.send(bytes, to)
        },
      }
    },
  }
}

function tappedStream(stream: Stream, tap: NetworkTap): Stream {
  const writeAll = stream.writeAll?.bind(stream)
  return {
    get remote() {
      return stream.remote
    },
    get bufferedBytes() {
      return stream.bufferedBytes
    },
    write: bytes => {
      tap.written?.(bytes.length)
      return stream.write(bytes)
    },
    ...(writeAll && {
      writeAll: pieces => {
        for (const { length } of pieces) tap.written?.(length)
        return writeAll(pieces)
      },
    }),
    end: () => stream.end(),
    destroy: () => stream.destroy(),
    pause: () => stream.pause(),
    resume: () => stream.resume(),
  }
}

function tappedHandlers(handlers: StreamHandlers, tap: NetworkTap): StreamHandlers {
  return {
    opened: () => handlers.opened?.(),
    data: bytes => {
      tap.read?.(bytes.length)
      handlers.data(bytes)
    },
    drain: () => handlers.drain?.(),
    closed: end => handlers.closed(end),
  }
}
