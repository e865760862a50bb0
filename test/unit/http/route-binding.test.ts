import test from 'ava'
import { RouteBinding } from '../../../lib/http/route-binding.js'
import { SessionGate, type SessionOptions } from '../../../lib/http/session-gate.js'
import { oneManager } from '../../helpers/session-managers.js'

test('who names another member is elsewhere, whatever the format; who names none is not', t => {
  const cases = [
    [{}, 'tribeline_route=node1', false],
    [{}, 'a=b; tribeline_route=node10', true],
    [{}, 'tribeline_route=node2; sid=node1', true],
    [{}, 'sid=s%3Ax.y', false],
    [{}, undefined, false],
    [{ routeCookie: 'r' }, 'tribeline_route=node2; r=node1', false],
    [{ routeCookie: false }, 'tribeline_route=node2', false],
    [{ routing: 'suffix' }, 'sid=s%3Ax.y~node1; a=b', false],
    [{ routing: 'suffix' }, 'sid=s%3Ax.y~node2', true],
    [{ routing: 'suffix' }, 'sid=s%3Ax.y', true],
    [{ routing: 'suffix' }, 'a=b', false],
    [{ routing: 'jvmRoute' }, 'sid=x~y.node1', false],
    [{ routing: 'jvmRoute' }, 'sid=x~y.xnode1', true],
  ] as const
  for (const [options, header, expected] of cases) {
    t.is(
      new RouteBinding('node1', 'sid', options).isElsewhere(header),
      expected,
      `${JSON.stringify(options)} ${header}`,
    )
  }
})

test('options out of range are refused in one sentence', t => {
  const cluster = oneManager()
  const refused = (options: Partial<SessionOptions<unknown>>, message: RegExp): void => {
    const error = t.throws(() => new SessionGate({ cluster, secret: 'x', ...options }), { code: 'INVALID_OPTION' })
    t.regex(error?.message ?? '', message)
  }
  refused({ routing: 'tilde' as 'suffix' }, /routing.*'cookie', 'suffix', 'jvmRoute'/)
  refused({ routing: 'suffix', routeCookie: 'route' }, /routeCookie.*unset/)
  refused({ catchUpMs: -1 }, /catchUpMs.*60000/)
  refused({ catchUpMs: 60_001 }, /catchUpMs/)
  refused({ catchUpMs: '250' as unknown as number }, /catchUpMs/)
  refused({ seenCookie: 'a b' }, /cookie/)
  refused({ routeCookie: 'a;b' }, /cookie/)
  for (const options of [
    { catchUpMs: 0 },
    { seenCookie: false, catchUpMs: 60_000 },
    { routing: 'jvmRoute' },
  ] as const) {
    t.notThrows(() => new SessionGate({ cluster, secret: 'x', ...options }))
  }
})
