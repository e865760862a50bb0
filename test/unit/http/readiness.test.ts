import type { IncomingMessage, ServerResponse } from 'node:http'
import test from 'ava'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'
import request from 'supertest'
import { InvalidOptionError } from '../../../lib/errors.js'
import { type ClusterState, readyAnswer, readyHandler } from '../../../lib/http/index.js'

const host = (state: ClusterState, fresh = true): { state: ClusterState; sessions: { fresh: boolean } } => ({
  state,
  sessions: { fresh },
})
const READY = '{"ready":true}'

const CASES: readonly (readonly [ClusterState, boolean, number, string])[] = [
  ['joining', true, 503, '{"ready":false,"reason":"joining"}'],
  ['ready', true, 200, READY],
  ['ready', false, 503, '{"ready":false,"reason":"stalled"}'],
  ['draining', true, 503, '{"ready":false,"reason":"draining"}'],
  ['draining', false, 503, '{"ready":false,"reason":"draining"}'],
  ['left', true, 503, '{"ready":false,"reason":"left"}'],
]

for (const [state, fresh, status, body] of CASES) {
  test(`${state}${fresh ? '' : ', stalled'}: ${status}`, async t => {
    const handler = readyHandler(host(state, fresh))
    const got = await request(handler).get('/ready')
    t.is(got.status, status)
    t.is(got.text, body)
    t.is(got.headers['cache-control'], 'no-store')
    t.is(got.headers['content-type'], 'application/json')
    const head = await request(handler).head('/ready')
    t.is(head.status, status)
    t.falsy(head.text)
    t.is(head.headers['content-length'], String(body.length))
  })
}

test('other methods are refused', async t => {
  const response = await request(readyHandler(host('ready'))).post('/ready')
  t.is(response.status, 405)
  t.is(response.headers['allow'], 'GET, HEAD')
})

test('every framework can send the answer', async t => {
  const member = host('draining')
  const ofExpress = express().get('/ready', readyHandler(member))
  const ofFastify = fastify()
  ofFastify.get('/ready', (_request, reply) => {
    const { status, headers, body } = readyAnswer(member)
    return reply.code(status).headers(headers).send(body)
  })
  const ofKoa = new Koa().use(ctx => {
    const { status, headers, body } = readyAnswer(member)
    ctx.status = status
    ctx.set(headers)
    ctx.body = body
  })
  const ofHono = new Hono().get('/ready', c => {
    const { status, headers, body } = readyAnswer(member)
    return c.body(body, status, headers)
  })
  const expected = ['503', 'no-store', '{"ready":false,"reason":"draining"}']
  for (const app of [ofExpress, ofKoa.callback()]) {
    const listener = app as (req: IncomingMessage, res: ServerResponse) => void
    const { status, headers, text } = await request(listener).get('/ready')
    t.deepEqual([String(status), headers['cache-control'], text], expected)
  }
  const injected = await ofFastify.inject('/ready')
  t.deepEqual([String(injected.statusCode), injected.headers['cache-control'], injected.body], expected)
  const fetched = await ofHono.request('/ready')
  t.deepEqual([String(fetched.status), fetched.headers.get('cache-control'), await fetched.text()], expected)
})

test('what is no cluster is refused', t => {
  t.throws(() => readyHandler({} as never), { instanceOf: InvalidOptionError })
})
