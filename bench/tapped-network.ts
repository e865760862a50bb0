import type { Network, Stream, StreamHandlers } from '../lib/runtime/runtime.js'

/**
 * Hears how many bytes pass; each call is one read, one write, one datagram sent. `dialled`: over a connection of this
 * side's, which carries its messages; over one that it accepted go its acknowledgements.
 */
export interface NetworkTap {
  read?(bytes: number, dialled: boolean): void
  written?(bytes: number, dialled: boolean): void
  datagram?(bytes: number): void
}

/** The same network, with somebody counting. */
export function tappedNetwork(network: Network, tap: NetworkTap): Network {
  return {
    addresses: () => network.addresses(),
    listen: (endpoint, accept) =>
      network.listen(endpoint, stream => tappedHandlers(accept(tappedStream(stream, tap, false)), tap, false)),
    connect: (endpoint, timeoutMs, handlers) =>
      tappedStream(network.connect(endpoint, timeoutMs, tappedHandlers(handlers, tap, true)), tap, true),
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

function tappedStream(stream: Stream, tap: NetworkTap, dialled: boolean): Stream {
  return {
    get remote() {
      return stream.remote
    },
    get bufferedBytes() {
      return stream.bufferedBytes
    },
    write: bytes => {
      tap.written?.(bytes.length, dialled)
      return stream.write(bytes)
    },
    writeAll: pieces => {
      tap.written?.(
        pieces.reduce((sum, { length }) => sum + length, 0),
        dialled,
      )
      if (stream.writeAll !== undefined) return stream.writeAll(pieces)
      return pieces.map(piece => stream.write(piece)).every(takesMore => takesMore)
    },
    end: () => stream.end(),
    destroy: () => stream.destroy(),
    pause: () => stream.pause(),
    resume: () => stream.resume(),
  }
}

function tappedHandlers(handlers: StreamHandlers, tap: NetworkTap, dialled: boolean): StreamHandlers {
  return {
    ...(handlers.borrows === true && { borrows: true }),
    opened: () => handlers.opened?.(),
    data: bytes => {
      tap.read?.(bytes.length, dialled)
      handlers.data(bytes)
    },
    drain: () => handlers.drain?.(),
    closed: end => handlers.closed(end),
  }
}
