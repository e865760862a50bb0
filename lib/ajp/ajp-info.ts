import type { IncomingMessage } from 'node:http'
import { AjpSocket } from './ajp-socket.js'
import type { ForwardRequest } from './forward-request.js'

const REMOTE_PORT = 'AJP_REMOTE_PORT'
const LOCAL_ADDRESS = 'AJP_LOCAL_ADDR'
const SSL_PROTOCOL = 'AJP_SSL_PROTOCOL'
const ACTIVATION = 'JK_LB_ACTIVATION'
/** Attributes that web servers send of their own accord, and that have a place here. */
const KNOWN: ReadonlySet<string> = new Set([REMOTE_PORT, LOCAL_ADDRESS, SSL_PROTOCOL, ACTIVATION])
const ACTIVATIONS: { readonly [code: string]: AjpInfo['activation'] } = {
  ACT: 'active',
  DIS: 'disabled',
  STP: 'stopped',
}

/** What the web server told of a request beyond its HTTP. */
export interface AjpInfo {
  /** The client's address; the name only if the web server looks names up. */
  readonly remoteAddress: string
  readonly remoteHost: string | undefined
  readonly remotePort: number | undefined
  /** Where the client reached the web server. */
  readonly localAddress: string | undefined
  readonly serverName: string
  readonly serverPort: number
  /** The client's version of HTTP, such as `HTTP/1.0`; `req.httpVersion` is always 1.1. */
  readonly protocol: string
  /** The user whom the web server authenticated, and how (`Basic`…). */
  readonly remoteUser: string | undefined
  readonly authType: string | undefined
  /** The route of the worker that mod_jk chose, Tomcat's `jvmRoute`. */
  readonly route: string | undefined
  /** How mod_jk uses this worker: `disabled` means sessions it has already, but no new ones. */
  readonly activation: 'active' | 'disabled' | 'stopped' | undefined
  /** Whether the client speaks TLS with the web server. */
  readonly isSecure: boolean
  /** Of that TLS connection, as far as the web server tells (`JkExtractSSL`); the certificate in PEM. */
  readonly tls: {
    readonly protocol: string | undefined
    readonly cipher: string | undefined
    readonly session: string | undefined
    readonly keySize: number | undefined
    readonly certificate: string | undefined
  }
  /** Named attributes (`JkEnvVar`) that the option `allowedRequestAttributes` lets through. */
  readonly attributes: ReadonlyMap<string, string>
}

/** What the web server told of a request that came over AJP; undefined for others. */
export function ajpOf(req: IncomingMessage): AjpInfo | undefined {
  return req.socket instanceof AjpSocket ? req.socket.ajp : undefined
}

/** `allowed`: the names of attributes without a place here that may stay. */
export function ajpInfo(request: ForwardRequest, allowed: RegExp | undefined): AjpInfo {
  const { attributes, remoteAddress, remoteHost, serverName, serverPort, protocol } = request
  const { remoteUser, authType, route, isSecure, tls } = request
  const port = attributes.get(REMOTE_PORT)
  return {
    remoteAddress,
    remoteHost,
    remotePort: port !== undefined && /^\d{1,5}$/.test(port) ? Number(port) : undefined,
    localAddress: attributes.get(LOCAL_ADDRESS),
    serverName,
    serverPort,
    protocol,
    remoteUser,
    authType,
    route,
    activation: ACTIVATIONS[attributes.get(ACTIVATION) ?? ''],
    isSecure,
    tls: { protocol: attributes.get(SSL_PROTOCOL), ...tls },
    attributes: new Map([...attributes].filter(([name]) => !KNOWN.has(name) && allowed?.test(name))),
  }
}
