import test from 'ava'
import fc from 'fast-check'
import { METHODS, REQUEST_HEADERS } from '../../../lib/ajp/codes.js'
import { decodeForwardRequest } from '../../../lib/ajp/forward-request.js'
import { ProtocolError } from '../../../lib/errors.js'
import { attribute, forwardRequest, number, text } from '../../helpers/ajp-client.js'

/** A request as it stands in the description of the protocol, byte by byte. */
const BY_HAND = [
  '02 02',
  '0008 485454502f312e31 00', // HTTP/1.1
  '0002 2f61 00', // /a
  '0009 3132372e302e302e31 00', // 127.0.0.1
  'ffff',
  '0001 68 00 0050 00', // h, port 80, not secure
  '0002',
  'a00b 0001 68 00', // host: h
  '0001 78 00 0001 79 00', // x: y
  '05 0003 713d31 00', // q=1
  '0c 0002 7373 00', // the secret
  '0a 0001 6e 00 0001 76 00', // n = v
  '0b 0080', // 128
  'ff',
]

test('reads a request written by hand', t => {
  t.deepEqual(decodeForwardRequest(Buffer.from(BY_HAND.join('').replaceAll(' ', ''), 'hex')), {
    method: 'GET',
    protocol: 'HTTP/1.1',
    uri: '/a',
    query: 'q=1',
    remoteAddress: '127.0.0.1',
    remoteHost: undefined,
    serverName: 'h',
    serverPort: 80,
    isSecure: false,
    headers: ['host', 'h', 'x', 'y'],
    secret: 'ss',
    remoteUser: undefined,
    authType: undefined,
    route: undefined,
    tls: { cipher: undefined, session: undefined, keySize: 128, certificate: undefined },
    attributes: new Map([['n', 'v']]),
  })
})

/** Codes by the description of AJP/1.3. */
const METHOD_CODES: readonly (readonly [number, string])[] = [
  ...([
    [1, 'OPTIONS'],
    [2, 'GET'],
    [3, 'HEAD'],
    [4, 'POST'],
    [5, 'PUT'],
    [6, 'DELETE'],
    [7, 'TRACE'],
  ] as const),
  ...([
    [8, 'PROPFIND'],
    [9, 'PROPPATCH'],
    [10, 'MKCOL'],
    [11, 'COPY'],
    [12, 'MOVE'],
    [13, 'LOCK'],
  ] as const),
  ...([
    [14, 'UNLOCK'],
    [15, 'ACL'],
    [16, 'REPORT'],
    [17, 'VERSION-CONTROL'],
    [18, 'CHECKIN'],
  ] as const),
  ...([
    [19, 'CHECKOUT'],
    [20, 'UNCHECKOUT'],
    [21, 'SEARCH'],
    [22, 'MKWORKSPACE'],
    [23, 'UPDATE'],
  ] as const),
  ...([
    [24, 'LABEL'],
    [25, 'MERGE'],
    [26, 'BASELINE-CONTROL'],
    [27, 'MKACTIVITY'],
  ] as const),
]

test('knows every method', t => {
  t.is(METHOD_CODES.length, METHODS.length)
  for (const [code, method] of METHOD_CODES) {
    t.is(decodeForwardRequest(forwardRequest({ method: code })).method, method)
  }
  t.is(decodeForwardRequest(forwardRequest({ method: 'PATCH' })).method, 'PATCH')
})

const HEADER_CODES: readonly (readonly [number, string])[] = [
  ...([
    [1, 'accept'],
    [2, 'accept-charset'],
    [3, 'accept-encoding'],
    [4, 'accept-language'],
  ] as const),
  ...([
    [5, 'authorization'],
    [6, 'connection'],
    [7, 'content-type'],
    [8, 'content-length'],
    [9, 'cookie'],
  ] as const),
  ...([
    [10, 'cookie2'],
    [11, 'host'],
    [12, 'pragma'],
    [13, 'referer'],
    [14, 'user-agent'],
  ] as const),
]

test('knows every header', t => {
  t.is(HEADER_CODES.length, REQUEST_HEADERS.length)
  for (const [code, name] of HEADER_CODES) {
    t.deepEqual(decodeForwardRequest(forwardRequest({ headers: [[code, 'v']] })).headers, [name, 'v'])
  }
})

test('tells attributes apart', t => {
  const codes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12]
  const attributes = [...codes.map(code => attribute(code, `a${code}`)), attribute(11, number(256))]
  t.like(decodeForwardRequest(forwardRequest({ attributes })), {
    remoteUser: 'a3',
    authType: 'a4',
    query: 'a5',
    route: 'a6',
    tls: { certificate: 'a7', cipher: 'a8', session: 'a9', keySize: 256 },
    secret: 'a12',
  })
})

const base = forwardRequest()
const broken: readonly (readonly [string, Buffer])[] = [
  ['nothing', Buffer.alloc(0)],
  ['another packet', Buffer.of(10)],
  ['method 0', forwardRequest({ method: 0 })],
  ['method 28', forwardRequest({ method: 28 })],
  ['a stored method that is not there', forwardRequest({ method: 255 })],
  ['header code 0', forwardRequest({ headers: [[0, 'v']] })],
  ['header code 15', forwardRequest({ headers: [[15, 'v']] })],
  ['attribute 0', forwardRequest({ attributes: [attribute(0, 'x')] })],
  ['attribute 14', forwardRequest({ attributes: [attribute(14, 'x')] })],
  ['a name that is not there', forwardRequest({ attributes: [Buffer.concat([Buffer.of(10), text(undefined)])] })],
  ['no end', base.subarray(0, -1)],
  ['a text without its zero', Buffer.concat([Buffer.of(2, 2), number(1), Buffer.from('ab'), base.subarray(2)])],
  ['a path that is not there', Buffer.concat([Buffer.of(2, 2), text('HTTP/1.1'), text(undefined), base.subarray(2)])],
]
for (const [what, payload] of broken) {
  test(`refuses ${what}`, t => {
    t.throws(() => decodeForwardRequest(payload), { instanceOf: ProtocolError })
  })
}

test('refuses every beginning of a request that is not the whole', t => {
  const whole = forwardRequest({ attributes: [attribute(5, 'q'), attribute(11, number(1)), attribute(10, 'a', 'b')] })
  for (let end = 0; end < whole.length; end++) {
    t.throws(() => decodeForwardRequest(whole.subarray(0, end)), { instanceOf: ProtocolError }, `${end}`)
  }
  t.notThrows(() => decodeForwardRequest(whole))
})

test('reads what it was given', t => {
  const latin1 = fc.string({ unit: fc.integer({ min: 32, max: 255 }).map(code => String.fromCharCode(code)) })
  const headers = fc.array(fc.tuple(fc.stringMatching(/^[a-z-]{1,20}$/), latin1), { maxLength: 20 })
  const attributes = fc.dictionary(fc.string({ unit: 'grapheme', minLength: 1 }), fc.string({ unit: 'grapheme' }))
  fc.assert(
    fc.property(latin1, headers, attributes, fc.boolean(), (uri, pairs, named, isSecure) => {
      const payload = forwardRequest({
        uri,
        isSecure,
        headers: pairs,
        attributes: Object.entries(named).map(([name, value]) => attribute(10, name, value)),
      })
      const request = decodeForwardRequest(payload)
      t.is(request.uri, uri)
      t.is(request.isSecure, isSecure)
      t.deepEqual(request.headers, pairs.flat())
      t.deepEqual(request.attributes, new Map(Object.entries(named)))
    }),
    { numRuns: 200 },
  )
})
