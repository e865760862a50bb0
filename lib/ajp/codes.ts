/** First bytes of a packet from the web server. */
export const TO_CONTAINER = 0x1234
/** First bytes of a packet to the web server: `AB`. */
export const TO_WEB_SERVER = 0x4142
/** Bytes before a packet's payload: the first two, and its length. */
export const PACKET_HEAD_BYTES = 4

/** What a packet from the web server begins with. Packets of a request's body have no code. */
export const REQUEST_CODE = { forwardRequest: 2, shutdown: 7, ping: 8, cping: 10 } as const
/** What a packet to the web server begins with. */
export const RESPONSE_CODE = { bodyChunk: 3, headers: 4, end: 5, getBodyChunk: 6, cpong: 9 } as const

/** In place of the length of a string that is not there. */
export const NO_STRING = 0xffff
/** The upper byte of a header's code, in place of the length of its name. */
export const HEADER_CODE = 0xa0

/** Methods by their code, from 1. */
export const METHODS: readonly string[] = [
  ...['OPTIONS', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'TRACE', 'PROPFIND', 'PROPPATCH', 'MKCOL', 'COPY', 'MOVE'],
  ...['LOCK', 'UNLOCK', 'ACL', 'REPORT', 'VERSION-CONTROL', 'CHECKIN', 'CHECKOUT', 'UNCHECKOUT', 'SEARCH'],
  ...['MKWORKSPACE', 'UPDATE', 'LABEL', 'MERGE', 'BASELINE-CONTROL', 'MKACTIVITY'],
]
/** The code of methods without one: the attribute `storedMethod` has the name. */
export const STORED_METHOD = 0xff

/** Names of request headers by the lower byte of their code, from 1. */
export const REQUEST_HEADERS: readonly string[] = [
  ...['accept', 'accept-charset', 'accept-encoding', 'accept-language', 'authorization', 'connection'],
  ...['content-type', 'content-length', 'cookie', 'cookie2', 'host', 'pragma', 'referer', 'user-agent'],
]

/** Names of response headers by the lower byte of their code, from 1. */
export const RESPONSE_HEADERS: readonly string[] = [
  ...['content-type', 'content-language', 'content-length', 'date', 'last-modified', 'location', 'set-cookie'],
  ...['set-cookie2', 'servlet-engine', 'status', 'www-authenticate'],
]

/** Attributes of a request by their code. */
export const ATTRIBUTE = {
  context: 1,
  servletPath: 2,
  remoteUser: 3,
  authType: 4,
  queryString: 5,
  route: 6,
  sslCert: 7,
  sslCipher: 8,
  sslSession: 9,
  /** Two strings: name and value. */
  named: 10,
  /** A number, not a string. */
  sslKeySize: 11,
  secret: 12,
  storedMethod: 13,
  end: 0xff,
} as const
