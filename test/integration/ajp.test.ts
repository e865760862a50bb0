import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import express from 'express'
import { type AjpServer, type AjpServerOptions, ajpOf, createAjpServer } from '../../lib/ajp/index.js'
import { ListenError } from '../../lib/errors.js'
import { createCluster } from '../../lib/index.js'
import { createNodeRuntime } from '../../lib/runtime/node-runtime.js'
import {
  type AjpAnswer,
  AjpClient,
  attribute,
  bodyPacket,
  forwardRequest,
  number,
  packet,
} from '../helpers/ajp-client.js'
import { VirtualClock } from '../helpers/virtual-clock.js'

const POST = 4
const HEAD = 3
const CONTENT_LENGTH = 8

async function serve(
  t: ExecutionContext,
  target: RequestListener | Server,
  options: AjpServerOptions = {},
): Promise<{ ajp: AjpServer; port: number; connect(): Promise<AjpClient> }> {
  const ajp = await createAjpServer(target, { port: 0, ...options })
  t.teardown(() => {
    const closed = ajp.close()
    ajp.closeAllConnections()
    return closed
  })
  const { port } = ajp
  const connect = async (): Promise<AjpClient> => {
    const client = await AjpClient.connect(port)
    t.teardown(() => client.destroy())
    return client
  }
  return { ajp, port, connect }
}

function said(answer: AjpAnswer | undefined): unknown {
  return JSON.parse(answer?.body.toString() ?? 'null')
}

async function read(req: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of req as AsyncIterable<Buffer>) parts.push(part)
  return Buffer.concat(parts)
}

test('a request arrives as if it had come over HTTP', async t => {
  const { connect } = await serve(t, (req, res) => {
    const { method, url, rawHeaders, httpVersion } = req
    const { remoteAddress, remotePort, localAddress, localPort, remoteFamily } = req.socket
    const isSecure = (req.socket as { encrypted?: boolean }).encrypted
    res.setHeader('Set-Cookie', ['a=1', 'b=2'])
    res.writeHead(201, 'Made', { 'X-Own': 'é', 'Content-Type': 'application/json' })
    res.end(
      JSON.stringify({
        ...{ method, url, rawHeaders, httpVersion, isSecure },
        ...{ remoteAddress, remotePort, localAddress, localPort, remoteFamily },
      }),
    )
  })
  const client = await connect()
  const answer = await client.request({
    method: 'PATCH',
    uri: '/caf\u00c3\u00a9;v=1',
    isSecure: true,
    serverPort: 8443,
    headers: [
      [11, 'shop.example'],
      [9, 'a=1'],
      ['cookie', 'b=2'],
      [6, 'keep-alive, X-Hop'],
      ['x-hop', 'gone'],
      ['upgrade', 'websocket'],
      ['X-Own', 'caf\u00e9'],
    ],
    attributes: [
      attribute(5, 'q=1&r=%20'),
      attribute(10, 'AJP_REMOTE_PORT', '54321'),
      attribute(10, 'AJP_LOCAL_ADDR', '198.51.100.7'),
    ],
  })
  t.deepEqual(said(answer), {
    method: 'PATCH',
    url: '/caf%C3%A9;v=1?q=1&r=%20',
    rawHeaders: [
      ...['host', 'shop.example', 'cookie', 'a=1', 'cookie', 'b=2', 'X-Own', 'caf\u00e9'],
      ...['Content-Length', '0', 'Connection', 'close'],
    ],
    httpVersion: '1.1',
    isSecure: true,
    remoteAddress: '203.0.113.9',
    remotePort: 54321,
    localAddress: '198.51.100.7',
    localPort: 8443,
    remoteFamily: 'IPv4',
  })
  t.like(answer, { status: 201, message: 'Made', reuse: true, asked: [] })
  const headers = answer?.headers.filter(([name]) => name !== 4)
  t.deepEqual(headers, [
    [7, 'a=1'],
    [7, 'b=2'],
    ['x-own', '\u00e9'],
    [1, 'application/json'],
    // Not known beforehand: the web server frames it for its client.
  ])
})

test('one connection serves many requests, and CPing between them', async t => {
  let sockets = 0
  const server = createServer((req, res) => res.end(req.url))
  server.on('connection', () => sockets++)
  const { ajp, connect } = await serve(t, server)
  const client = await connect()
  for (let turn = 0; turn < 20; turn++) {
    if (turn % 3 === 0) t.true(await client.cping())
    const answer = await client.request({ uri: `/${turn}` })
    t.is(answer?.body.toString(), `/${turn}`)
    t.true(answer?.reuse)
  }
  t.is(sockets, 20)
  t.like(ajp.stats(), { connections: 1, accepted: 1, requests: 20, protocolErrors: 0, aborted: 0 })
})

test('many connections at once', async t => {
  const { ajp, connect } = await serve(t, async (req, res) => res.end(await read(req)))
  const answers = await Promise.all(
    Array.from({ length: 30 }, async (_, index) => {
      const client = await connect()
      const body = Buffer.alloc(20_000, index)
      const parts = [body.subarray(0, 8_186), body.subarray(8_186, 16_372), body.subarray(16_372)]
      const headers = [[CONTENT_LENGTH, '20000']] as const
      const answer = await client.request({ method: POST, headers }, parts)
      return answer?.body.equals(body) === true
    }),
  )
  t.deepEqual(answers, Array(30).fill(true))
  t.is(ajp.stats().requests, 30)
})

test('a body of known length: the first part comes unasked, the others when there is room', async t => {
  const { connect } = await serve(t, async (req, res) => res.end(`${(await read(req)).length}`))
  const client = await connect()
  const parts = [Buffer.alloc(8_186), Buffer.alloc(8_186), Buffer.alloc(100)]
  const answer = await client.request({ method: POST, headers: [[CONTENT_LENGTH, '16472']] }, parts)
  t.is(answer?.body.toString(), '16472')
  t.deepEqual(answer?.asked, [8_186, 100])
})

test('a body of unknown length is asked for from its beginning to its end', async t => {
  const { connect } = await serve(t, async (req, res) => {
    res.end(`${req.headers['transfer-encoding']} ${(await read(req)).toString()}`)
  })
  const client = await connect()
  const headers = [['transfer-encoding', 'chunked']] as const
  for (const last of [[], [Buffer.alloc(0)]]) {
    const answer = await client.request({ method: POST, headers }, [Buffer.from('ab'), Buffer.from('c'), ...last])
    t.is(answer?.body.toString(), 'chunked abc')
    t.deepEqual(answer?.asked, [8_186, 8_186, 8_186])
  }
})

test('a body nobody reads does not stand in the way of the next request', async t => {
  const { connect, ajp } = await serve(t, (req, res) => res.end(req.method))
  const client = await connect()
  const headers = [[CONTENT_LENGTH, '100000']] as const
  const parts = Array.from({ length: 5 }, () => Buffer.alloc(8_186))
  const first = await client.request({ method: POST, headers }, parts)
  t.like(first, { status: 200, reuse: true })
  // The first part may come after the answer, too.
  client.socket.write(packet(forwardRequest({ method: POST, headers })))
  t.like(await client.answer(), { status: 200, reuse: true })
  client.socket.write(bodyPacket(Buffer.alloc(8_186)))
  const third = await client.request()
  t.is(third?.body.toString(), 'GET')
  t.is(ajp.stats().protocolErrors, 0)
})

test('the web server is asked for no more of a body than the application reads', async t => {
  let paused: IncomingMessage | undefined
  const { connect } = await serve(t, (req, res) => {
    paused = req
    let bytes = 0
    req.once('resume', () => {
      req.on('data', (part: Buffer) => {
        bytes += part.length
      })
    })
    req.on('end', () => res.end(`${bytes}`))
    req.pause()
  })
  const client = await connect()
  const total = 100 * 8_186
  client.socket.write(packet(forwardRequest({ method: POST, headers: [[CONTENT_LENGTH, `${total}`]] })))
  let sent = 0
  const send = (): void => {
    client.socket.write(bodyPacket(Buffer.alloc(8_186)))
    sent++
  }
  send()
  const asks = (async () => {
    for (let payload = await client.next(); payload?.[0] === 6; payload = await client.next()) {
      send()
      if (sent === 100) break
    }
  })()
  // It stops asking; that it has stopped shows in a second connection's request being answered meanwhile, ten times over.
  const other = await connect()
  for (let turn = 0; turn < 10; turn++) t.true(await other.cping())
  t.true(sent < 60, `${sent} parts of 100`)
  paused?.resume()
  await asks
  const answer = await client.answer()
  t.is(answer?.body.toString(), `${total}`)
})

test('large answers come in packets that fit, and wait for a slow web server', async t => {
  const size = 20_000_000
  let written = 0
  let maxAhead = 0
  let received = 0
  const { connect } = await serve(t, async (_req, res) => {
    res.setHeader('Content-Length', size)
    while (written < size) {
      const part = Buffer.alloc(100_000, written / 100_000)
      written += part.length
      maxAhead = Math.max(maxAhead, written - received)
      if (!res.write(part)) await once(res, 'drain')
    }
    res.end()
  })
  const client = await connect()
  client.socket.on('data', bytes => {
    received += (bytes as Buffer).length
  })
  client.socket.pause()
  client.socket.write(packet(forwardRequest()))
  const other = await connect()
  for (let turn = 0; turn < 50; turn++) t.true(await other.cping())
  t.true(written < size, `${written} written while nobody read`)
  client.socket.resume()
  const answer = await client.answer()
  t.is(answer?.body.length, size)
  t.is(answer?.body[size - 1], 199)
  t.true(answer?.chunks.every(length => length > 0 && length <= 8_184))
})

test('larger packets, if both sides agree', async t => {
  const { connect } = await serve(t, async (req, res) => res.end(await read(req)), { packetSize: 65_536 })
  const client = await connect()
  const body = Buffer.alloc(100_000, 7)
  const headers = [[CONTENT_LENGTH, '100000']] as const
  const parts = [body.subarray(0, 65_530), body.subarray(65_530)]
  const answer = await client.request({ method: POST, headers }, parts)
  t.true(answer?.body.equals(body))
  t.deepEqual(answer?.asked, [34_470])
  t.true(answer?.chunks.some(length => length > 8_184))
})

test('a handler may set the timeout of its socket', async t => {
  const { connect } = await serve(t, (_req, res) => {
    res.setTimeout(20, () => res.end('late'))
  })
  const answer = await (await connect()).request()
  t.is(answer?.body.toString(), 'late')
})

test('HEAD, 204 and 304 have no body', async t => {
  const { connect } = await serve(t, (req, res) => {
    res.statusCode = Number(req.url?.slice(1))
    res.setHeader('ETag', '"x"')
    if (req.method === 'HEAD') res.setHeader('Content-Length', 5)
    res.end(res.statusCode === 200 ? 'hello' : undefined)
  })
  const client = await connect()
  const head = await client.request({ method: HEAD, uri: '/200' })
  t.like(head, { status: 200, chunks: [], reuse: true })
  t.true(head?.headers.some(([name, value]) => name === 3 && value === '5'))
  t.like(await client.request({ uri: '/204' }), { status: 204, message: 'No Content', chunks: [], reuse: true })
  t.like(await client.request({ uri: '/304' }), { status: 304, chunks: [], reuse: true })
  t.like(await client.request({ uri: '/200' }), { status: 200, chunks: [5], reuse: true })
})

test('Expect: 100-continue is answered inside, and the body comes through', async t => {
  const { connect } = await serve(t, async (req, res) => res.end(await read(req)))
  const client = await connect()
  const headers = [
    [CONTENT_LENGTH, '2'],
    ['expect', '100-continue'],
  ] as const
  const answer = await client.request({ method: POST, headers }, [Buffer.from('ok')])
  t.like(answer, { status: 200, reuse: true })
  t.is(answer?.body.toString(), 'ok')
})

test('an answer that streams arrives as it is written', async t => {
  let finish = (): void => {}
  const { connect } = await serve(t, (_req, res) => {
    res.write('first')
    finish = () => res.end('last')
  })
  const client = await connect()
  client.socket.write(packet(forwardRequest()))
  t.is((await client.next())?.[0], 4)
  t.is((await client.next())?.toString('latin1', 3, 8), 'first')
  finish()
  t.is((await client.next())?.toString('latin1', 3, 7), 'last')
  t.deepEqual(await client.next(), Buffer.of(5, 1))
})

test('the handler may finish long after its answer was complete, and is not told that the client hung up', async t => {
  let res: ServerResponse | undefined
  const seen: string[] = []
  const { connect } = await serve(t, (req, response) => {
    if (req.url === '/next') return response.end()
    res = response
    for (const event of ['close', 'finish'] as const) response.on(event, () => seen.push(event))
    req.on('aborted', () => seen.push('aborted'))
    response.setHeader('Content-Length', 2)
    response.write('ok')
  })
  const client = await connect()
  t.like(await client.request(), { status: 200, reuse: true })
  t.like(await client.request({ uri: '/next' }), { status: 200, reuse: true })
  t.deepEqual(seen, [])
  const closed = once(res as ServerResponse, 'close')
  res?.end()
  await closed
  t.deepEqual(seen, ['finish', 'close'])
})

test('when the web server hangs up, the handler is told', async t => {
  const { connect, ajp } = await serve(t, (req, res) => {
    if (req.method === 'POST') req.on('error', () => {}).on('close', () => arrived('request'))
    res.on('close', () => arrived(`response ${res.writableFinished}`))
    arrived('begun')
  })
  let arrived = (_what: string): void => {}
  const next = (): Promise<string> =>
    new Promise(resolve => {
      arrived = resolve
    })
  const waiting = await connect()
  let event = next()
  waiting.socket.write(packet(forwardRequest()))
  t.is(await event, 'begun')
  event = next()
  waiting.destroy()
  t.is(await event, 'response false')
  const sending = await connect()
  event = next()
  sending.socket.write(packet(forwardRequest({ method: POST, headers: [[CONTENT_LENGTH, '9']] })))
  t.is(await event, 'begun')
  event = next()
  sending.destroy()
  t.regex(await event, /request|response false/)
  t.is(ajp.stats().aborted, 2)
})

test('a body that ends too early is not taken for a whole one', async t => {
  let outcome = ''
  const { connect, ajp } = await serve(t, async (req, res) => {
    await read(req).then(
      () => (outcome = 'whole'),
      () => (outcome = 'cut off'),
    )
    res.end()
  })
  const client = await connect()
  const headers = [[CONTENT_LENGTH, '10']] as const
  t.is(await client.request({ method: POST, headers }, [Buffer.from('four')]), undefined)
  t.is(outcome, 'cut off')
  t.is(ajp.stats().protocolErrors, 0)
})

test('an answer cut off by its handler does not look complete', async t => {
  const { connect, ajp } = await serve(t, (req, res) => {
    if (req.url === '/head') res.write('some')
    setImmediate(() => res.destroy())
  })
  for (const uri of ['/head', '/nothing']) {
    const client = await connect()
    t.is(await client.request({ uri }), undefined)
  }
  t.is(ajp.stats().aborted, 2)
})

test('an early answer is an answer', async t => {
  const { connect } = await serve(t, (_req, res) => {
    res.writeHead(413)
    res.end('too much')
  })
  const client = await connect()
  client.socket.write(packet(forwardRequest({ method: POST, headers: [[CONTENT_LENGTH, '20000']] })))
  t.like(await client.answer(), { status: 413, reuse: true })
  client.socket.write(bodyPacket(Buffer.alloc(8_186)))
  t.like(await client.request(), { status: 413, reuse: true })
})

test('Express sees a secure request of the client', async t => {
  const app = express()
  app.get('/who', (req, res) => {
    const ajp = ajpOf(req)
    const { remoteUser, authType, route, activation, tls, protocol } = ajp ?? {}
    const attributes = [...(ajp?.attributes ?? [])]
    res.json({
      ...{ ip: req.ip, secure: req.secure, host: req.hostname, query: req.query, attributes },
      ...{ remoteUser, authType, route, activation, tls, protocol },
    })
  })
  const { connect } = await serve(t, app, { allowedRequestAttributes: /MY_\w+/g })
  const client = await connect()
  const answer = await client.request({
    uri: '/who',
    isSecure: true,
    protocol: 'HTTP/1.0',
    remoteAddress: '2001:db8::9',
    headers: [],
    attributes: [
      ...[attribute(3, 'zo\u00eb'), attribute(4, 'Basic'), attribute(5, 'a=b'), attribute(6, 'node1')],
      ...[attribute(7, 'PEM'), attribute(8, 'TLS_AES'), attribute(9, '5e55'), attribute(11, number(256))],
      ...[attribute(10, 'AJP_SSL_PROTOCOL', 'TLSv1.3'), attribute(10, 'JK_LB_ACTIVATION', 'DIS')],
      ...[attribute(10, 'MY_UNIT', 'shop'), attribute(10, 'NOT_MY_UNIT', 'x'), attribute(10, 'javax.servlet', 'x')],
    ],
  })
  t.deepEqual(said(answer), {
    ip: '2001:db8::9',
    secure: true,
    host: 'shop.example',
    query: { a: 'b' },
    attributes: [['MY_UNIT', 'shop']],
    remoteUser: 'zo\u00eb',
    authType: 'Basic',
    route: 'node1',
    activation: 'disabled',
    tls: { protocol: 'TLSv1.3', cipher: 'TLS_AES', session: '5e55', keySize: 256, certificate: 'PEM' },
    protocol: 'HTTP/1.0',
  })
})

test('one server may answer over HTTP and over AJP; only the latter has AJP to tell of', async t => {
  const server = createServer((req, res) => res.end(String(ajpOf(req)?.serverName)))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { connect } = await serve(t, server)
  const { port } = server.address() as { port: number }
  t.is(await (await fetch(`http://127.0.0.1:${port}/`)).text(), 'undefined')
  t.is((await (await connect()).request())?.body.toString(), 'shop.example')
})

test('without the right secret there is no answer but 403', async t => {
  let handled = 0
  const { connect, ajp } = await serve(t, (_req, res) => res.end(`${++handled}`), { secret: 'open sesame' })
  for (const given of [[], ['open'], ['open sesam\u00eb'], ['']]) {
    const client = await connect()
    const answer = await client.request({ attributes: given.map(secret => attribute(12, secret)) })
    t.like(answer, { status: 403, reuse: false, chunks: [] })
    await client.closed
  }
  t.is(handled, 0)
  t.is(ajp.stats().wrongSecrets, 4)
  const client = await connect()
  const answer = await client.request({ attributes: [attribute(12, 'open sesame')] })
  t.like(answer, { status: 200, reuse: true })
})

test('what HTTP cannot express is refused, and never reaches the application', async t => {
  let handled = 0
  const { connect, ajp } = await serve(t, (_req, res) => res.end(`${++handled}`))
  const refused = async (status: number, request: Parameters<typeof forwardRequest>[0]): Promise<void> => {
    const client = await connect()
    t.like(await client.request(request), { status, reuse: false }, JSON.stringify(request))
    await client.closed
  }
  await refused(400, { uri: 'http://evil.example/' })
  await refused(400, { headers: [['x', 'a\r\nb: c']] })
  await refused(400, { headers: [['x y', 'a']] })
  await refused(400, { headers: [[CONTENT_LENGTH, '-1']] })
  await refused(400, {
    headers: [
      [CONTENT_LENGTH, '1'],
      ['content-length', '2'],
    ],
  })
  await refused(400, {
    headers: [
      [CONTENT_LENGTH, '1'],
      ['transfer-encoding', 'chunked'],
    ],
  })
  await refused(400, { headers: [['transfer-encoding', 'gzip, chunked']] })
  await refused(501, { method: 'CONNECT' })
  await refused(501, { method: 'BREW' })
  t.is(ajp.stats().refusedRequests, 9)
  t.is(handled, 0)
})

test('what a web server has decoded in a path does not change its meaning', async t => {
  const { connect } = await serve(t, (req, res) => res.end(req.url))
  const client = await connect()
  for (const [uri, query, url] of [
    ['/a b', 'x=\u00ff y', '/a%20b?x=%C3%BF%20y'],
    ['/a?b#c', '', '/a%3Fb%23c'],
    ['/a\r\nHost: evil', 'q', '/a%0D%0AHost:%20evil?q'],
  ] as const) {
    const answer = await client.request({ uri, attributes: [attribute(5, query)] })
    t.is(answer?.body.toString(), url)
  }
})

test('bytes that are not AJP close the connection, are counted, and harm nobody else', async t => {
  const { connect, ajp } = await serve(t, (_req, res) => res.end('ok'))
  const bystander = await connect()
  const bad: Buffer[] = [
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.of(0x12, 0x34, 0xff, 0xff),
    packet(Buffer.alloc(0)),
    packet(Buffer.of(7)),
    packet(Buffer.of(8)),
    packet(Buffer.of(2, 2)),
    packet(forwardRequest().subarray(0, -1)),
    Buffer.concat([packet(forwardRequest()), packet(forwardRequest())]),
    Buffer.concat([
      packet(forwardRequest({ method: POST, headers: [[CONTENT_LENGTH, '3']] })),
      bodyPacket(Buffer.alloc(4)),
    ]),
    Buffer.concat([
      packet(forwardRequest({ method: POST, headers: [[CONTENT_LENGTH, '3']] })),
      packet(Buffer.of(0, 9, 1, 2, 3)),
    ]),
    Buffer.concat([packet(forwardRequest({ method: POST, headers: [[CONTENT_LENGTH, '3']] })), packet(Buffer.of(0))]),
  ]
  for (const bytes of bad) {
    const client = await connect()
    client.socket.write(bytes)
    await client.closed
  }
  t.is(ajp.stats().protocolErrors, bad.length)
  t.like(await bystander.request(), { status: 200, reuse: true })
})

test('packets may come in any pieces', async t => {
  const { connect } = await serve(t, async (req, res) => res.end(await read(req)))
  const client = await connect()
  client.socket.setNoDelay(true)
  const bytes = Buffer.concat([
    packet(forwardRequest({ method: POST, headers: [[CONTENT_LENGTH, '3']] })),
    bodyPacket(Buffer.from('abc')),
  ])
  for (const byte of bytes) {
    await new Promise(resolve => client.socket.write(Buffer.of(byte), resolve))
  }
  t.is((await client.answer())?.body.toString(), 'abc')
})

test('headers that fit into no packet are answered with 500', async t => {
  const { connect, ajp } = await serve(t, (req, res) => {
    res.setHeader('X-Long', 'x'.repeat(Number(req.url?.slice(1))))
    res.end('ok')
  })
  const client = await connect()
  t.like(await client.request({ uri: '/7000' }), { status: 200, reuse: true })
  t.like(await client.request({ uri: '/9000' }), { status: 500, reuse: false })
  t.is(ajp.stats().oversizedHeaders, 1)
})

test('no more connections than allowed', async t => {
  const { connect, ajp } = await serve(t, (_req, res) => res.end('ok'), { maxConnections: 2 })
  const [one, two] = [await connect(), await connect()]
  t.true(await one.cping())
  t.true(await two.cping())
  const three = await connect()
  t.false(await three.cping())
  t.like(ajp.stats(), { connections: 2, accepted: 2, refusedConnections: 1 })
  one.destroy()
  await one.closed
})

test('a planned stop answers what is under way and what it promised, and takes nothing new', async t => {
  let finish = (): void => {}
  let started = (): void => {}
  const begun = new Promise<void>(resolve => {
    started = resolve
  })
  const { connect, ajp } = await serve(t, (req, res) => {
    if (req.url !== '/slow') return res.end('quick')
    finish = () => res.end('slow')
    started()
  })
  const [idle, promised, pinging, busy] = [await connect(), await connect(), await connect(), await connect()]
  t.like(await idle.request(), { reuse: true })
  t.like(await pinging.request(), { reuse: true })
  t.true(await promised.cping())
  busy.socket.write(packet(forwardRequest({ uri: '/slow' })))
  await begun
  const closed = ajp.close()
  t.false(await idle.cping())
  t.false(await pinging.cping())
  const kept = await promised.request()
  t.is(kept?.body.toString(), 'quick')
  t.false(kept?.reuse)
  await t.throwsAsync(AjpClient.connect(ajp.port), { code: 'ECONNREFUSED' })
  finish()
  const last = await busy.answer()
  t.is(last?.body.toString(), 'slow')
  t.false(last?.reuse)
  await closed
  t.is(ajp.stats().connections, 0)
})
test('a planned stop does not wait for a web server that looks at its idle connections late', async t => {
  const clock = new VirtualClock()
  const target: RequestListener = (_req, res) => res.end('ok')
  const ajp = await createAjpServer(target, { port: 0 }, { clock, network: createNodeRuntime().network })
  const socket = connect({ port: ajp.port, host: '127.0.0.1', allowHalfOpen: true })
  t.teardown(() => socket.destroy())
  socket.write(packet(forwardRequest()))
  await once(socket, 'data')
  const ended = once(socket, 'end')
  const closed = ajp.close()
  socket.resume()
  await ended
  clock.advance(1_000)
  await closed
  t.is(ajp.stats().aborted, 0)
})

/** Time stands still until it is told to move; turns of the event loop end as ever. */
class SlowClock extends VirtualClock {
  override soon(run: () => void): void {
    setImmediate(run)
  }
}

test('a web server that lets us wait is given up, an application that does is not', async t => {
  const clock = new SlowClock()
  const network = createNodeRuntime().network
  let answer = (): void => {}
  let isAsked = (): void => {}
  const asked = new Promise<void>(resolve => {
    isAsked = resolve
  })
  const target: RequestListener = (req, res) => {
    if (req.url === '/slow') {
      answer = () => res.end('at last')
      isAsked()
    } else if (req.url === '/large') res.end(Buffer.alloc(16 << 20))
    else req.resume().on('end', () => res.end('ok'))
  }
  const ajp = await createAjpServer(target, { port: 0, idleTimeoutMs: 1_000 }, { clock, network })
  t.teardown(() => ajp.closeAllConnections())
  const open = async (): Promise<AjpClient> => {
    const client = await AjpClient.connect(ajp.port)
    t.teardown(() => client.destroy())
    return client
  }
  const [silent, halfway, bodiless, slow, unread, busy] = (await Promise.all(Array.from({ length: 6 }, open))) as [
    AjpClient,
    AjpClient,
    AjpClient,
    AjpClient,
    AjpClient,
    AjpClient,
  ]
  halfway.socket.write(packet(forwardRequest()).subarray(0, 20))
  bodiless.socket.write(
    packet(
      forwardRequest({
        method: POST,
        headers: [
          ['host', 'x'],
          [CONTENT_LENGTH, '9'],
        ],
      }),
    ),
  )
  slow.socket.write(packet(forwardRequest({ uri: '/slow' })))
  unread.socket.pause()
  unread.socket.write(packet(forwardRequest({ uri: '/large' })))
  await asked
  t.is((await busy.request())?.status, 200)
  for (let turn = 0; turn < 8; turn++) {
    clock.advance(250)
    // One byte is no packet.
    if (turn < 4) halfway.socket.write(packet(forwardRequest()).subarray(20 + turn, 21 + turn))
    t.true(await busy.cping(), 'who asks is there')
  }
  for (const client of [silent, halfway, bodiless]) t.is(await client.next(), undefined)
  unread.socket.resume()
  await unread.closed
  t.like(ajp.stats(), { idle: 4, connections: 2 })
  answer()
  t.is((await slow.answer())?.body.toString(), 'at last')
  clock.advance(750)
  t.true(await busy.cping())
  t.is(ajp.stats().connections, 2)
  clock.advance(500)
  t.is(await slow.next(), undefined)
  t.like(ajp.stats(), { idle: 5, connections: 1 })
  busy.destroy()
  await busy.closed
  await ajp.close()
})

test('a short response is written at once', async t => {
  const { port } = await serve(t, (_req, res) => res.setHeader('X-Own', '1').end('short'))
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  for (let turn = 0; turn < 20; turn++) {
    socket.write(packet(forwardRequest()))
    const [bytes] = (await once(socket, 'data')) as [Buffer]
    t.is(bytes.toString('latin1').match(/AB/g)?.length, 3, 'head, body and end')
    t.is(bytes.at(-2), 5)
  }
})

test('a piece larger than all buffers comes whole, and its end last', async t => {
  const { connect } = await serve(t, (_req, res) => res.end(Buffer.alloc(16 << 20, 'x')))
  const client = await connect()
  for (let turn = 0; turn < 2; turn++) t.is((await client.request())?.body.length, 16 << 20)
})

test('what takes too long can be cut off', async t => {
  let hung = (): void => {}
  const begun = new Promise<void>(resolve => {
    hung = resolve
  })
  const { connect, ajp } = await serve(t, () => hung())
  const client = await connect()
  client.socket.write(packet(forwardRequest()))
  await begun
  const closed = ajp.close()
  ajp.closeAllConnections()
  await closed
  t.is(await client.next(), undefined)
  t.like(ajp.stats(), { connections: 0, aborted: 1 })
})
test('a port that is taken is an error', async t => {
  const { port } = await serve(t, (_req, res) => res.end())
  await t.throwsAsync(
    createAjpServer(() => {}, { port }),
    { instanceOf: ListenError },
  )
})

test('a drain waits for requests over AJP, and cuts them off after its time', async t => {
  const cluster = await createCluster({
    group: `ajp-${randomBytes(6).toString('hex')}`,
    membership: { service: 'static', members: [] },
    receiver: { address: '127.0.0.1', port: 0 },
  })
  t.teardown(() => cluster.leave())
  let answer = (): void => {}
  let started = (): void => {}
  const { connect, ajp } = await serve(t, (req, res) => {
    if (req.url === '/slow') answer = () => res.end('done')
    started()
  })
  const begin = async (uri: string): Promise<AjpClient> => {
    const begun = new Promise<void>(resolve => {
      started = resolve
    })
    const client = await connect()
    client.socket.write(packet(forwardRequest({ uri })))
    await begun
    return client
  }
  const [slow, endless] = [await begin('/slow'), await begin('/endless')]
  const drained = cluster.drain({ server: ajp, graceMs: 0, requestTimeoutMs: 1_000 })
  answer()
  t.like(await slow.answer(), { status: 200, reuse: false })
  t.is((await drained).connectionsCut, 1)
  t.is(await endless.next(), undefined)
})
