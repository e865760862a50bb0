import { IncomingMessage, ServerResponse } from 'node:http'
import type { NodeExchange } from './node-exchange.js'

// Express gives each request and response a prototype of its own making, and V8 then a hidden class to each of them:
// every property added costs microseconds. So there the hooks sit on that prototype, once for all, and one slot in the
// request says whether it is ours. Everywhere else they are properties, the same functions for all requests.

const EXCHANGE: unique symbol = Symbol('tribeline.exchange')
const OWN_HOOKS: unique symbol = Symbol('tribeline.hooks')

interface HookedRequest extends IncomingMessage {
  [EXCHANGE]?: NodeExchange
}

interface HookedResponse extends ServerResponse {
  [OWN_HOOKS]: {
    readonly exchange: NodeExchange
    readonly writeHead: ServerResponse['writeHead']
    readonly end: ServerResponse['end']
  }
}

/** Whether objects of a prototype have the hooks from it. */
const requestPrototypes = new WeakMap<object, boolean>()
const responsePrototypes = new WeakMap<object, boolean>()

const SESSION: PropertyDescriptor & ThisType<HookedRequest> = {
  configurable: true,
  enumerable: true,
  get() {
    return this[EXCHANGE]?.facade
  },
  set(value: unknown) {
    const exchange = this[EXCHANGE]
    if (exchange === undefined) {
      // A request of the same framework with sessions of another kind.
      Object.defineProperty(this, 'session', { value, writable: true, enumerable: true, configurable: true })
      return
    }
    if (value !== null && value !== undefined) throw new TypeError('req.session can only be set to null')
    exchange.invalidate()
  },
}

/** The exchange attached to a request. */
export function exchangeOf(req: IncomingMessage | undefined): NodeExchange | undefined {
  return (req as HookedRequest | undefined)?.[EXCHANGE]
}

/** Puts the session on the request as `req.session`. */
export function exposeSession(req: IncomingMessage): void {
  const shared = inherits(requestPrototypes, req, IncomingMessage.prototype, exposeOnPrototype)
  if (!shared || Object.hasOwn(req, 'session')) Object.defineProperty(req, 'session', SESSION)
}

/** Puts the exchange between the response and whoever writes it. */
export function attach(exchange: NodeExchange, req: IncomingMessage, res: ServerResponse): void {
  ;(req as HookedRequest)[EXCHANGE] = exchange
  const shared = res.req === req && inherits(responsePrototypes, res, ServerResponse.prototype, hookPrototype)
  // Who has hooked the response itself before must stay below us.
  if (shared && !Object.hasOwn(res, 'end') && !Object.hasOwn(res, 'writeHead')) return
  exchange.hasOwnHooks = true
  ;(res as HookedResponse)[OWN_HOOKS] = { exchange, writeHead: res.writeHead, end: res.end }
  res.writeHead = writeHeadOfOwn as ServerResponse['writeHead']
  res.end = endOfOwn as ServerResponse['end']
}

function writeHeadOfOwn(this: HookedResponse, ...args: unknown[]): ServerResponse {
  const { exchange, writeHead } = this[OWN_HOOKS]
  return exchange.writeHead(writeHead, args)
}

function endOfOwn(this: HookedResponse, ...args: unknown[]): ServerResponse {
  const { exchange, end } = this[OWN_HOOKS]
  return exchange.end(end, args)
}

/** Whether `object` has hooks from a prototype between its own and `base`, which get them if they have not. */
function inherits(
  known: WeakMap<object, boolean>,
  object: object,
  base: object,
  install: (prototype: object) => boolean,
): boolean {
  const prototype = Object.getPrototypeOf(object) as object
  let found = known.get(prototype)
  if (found === undefined) {
    const top = highestBelow(base, prototype)
    found = top !== undefined && (known.get(top) ?? install(top))
    if (top !== undefined) known.set(top, found)
    known.set(prototype, found)
  }
  return found
}

/** The last prototype before `base`: what all applications of the framework share. */
function highestBelow(base: object, prototype: object): object | undefined {
  let highest: object | undefined
  for (let at: object | null = prototype; at !== base; at = Object.getPrototypeOf(at) as object | null) {
    if (at === null) return undefined
    highest = at
  }
  return highest
}

function exposeOnPrototype(prototype: object): boolean {
  if ('session' in prototype || !Object.isExtensible(prototype)) return false
  Object.defineProperty(prototype, 'session', SESSION)
  return true
}

function hookPrototype(prototype: object): boolean {
  if (!Object.isExtensible(prototype)) return false
  const response = prototype as ServerResponse
  const { writeHead, end } = response
  const exchangeFor = (res: ServerResponse): NodeExchange | undefined => {
    const exchange = exchangeOf(res.req)
    return exchange === undefined || exchange.hasOwnHooks ? undefined : exchange
  }
  response.writeHead = function writeHeadWithSession(this: ServerResponse, ...args: unknown[]): ServerResponse {
    const exchange = exchangeFor(this)
    if (exchange !== undefined) return exchange.writeHead(writeHead, args)
    return Reflect.apply(writeHead, this, args) as ServerResponse
  } as ServerResponse['writeHead']
  response.end = function endWithSession(this: ServerResponse, ...args: unknown[]): ServerResponse {
    const exchange = exchangeFor(this)
    if (exchange !== undefined) return exchange.end(end, args)
    return Reflect.apply(end, this, args) as ServerResponse
  } as ServerResponse['end']
  return true
}
