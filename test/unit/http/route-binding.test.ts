import test from 'ava'
import { RouteBinding } from '../../../lib/http/cookies/route-binding.js'
import { SessionGate } from '../../../lib/http/requests/session-gate.js'
import type { SessionOptions } from '../../../lib/http/requests/session-options.js'
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
  refused({ seenCookie: false, catchUpMs: -1 }, /catchUpMs/)
  refused({ name: 'sid', routeCookie: 'sid' }, /routeCookie must be the name of no other cookie of ours; got "sid"/)
  refused({ seenCookie: 'tribeline.sid' }, /seenCookie must be/)
  refused({ ack: 'aplied' as 'applied' }, /ack must be one of 'none', /)
  refused({ copies: -1 }, /copies must be a whole number from 0, or 'all'; got -1/)
  refused({ ackTimeoutMs: 0 }, /ackTimeoutMs must be/)
  refused({ detect: 'some' as 'set' }, /detect must be one of/)
  refused({ rolling: 'yes' as unknown as boolean }, /rolling must be true or false; got "yes"/)
  refused({ filter: '/static' as unknown as RegExp }, /filter must be a pattern or a function; got "/)
  refused({ readOnly: 'GET' as unknown as boolean }, /readOnly must be true, false, a pattern or a function/)
  refused({ onMoved: {} as () => void }, /onMoved must be a function/)
  refused({ seenCookie: 'a b' }, /cookie/)
  refused({ routeCookie: 'a;b' }, /cookie/)
  for (const options of [
    { catchUpMs: 0 },
    { seenCookie: false, catchUpMs: 60_000 },
    { name: 'sid', routeCookie: false, seenCookie: 'tribeline.sid' },
    { routing: 'jvmRoute' },
  ] as const) {
    t.notThrows(() => new SessionGate({ cluster, secret: 'x', ...options }))
  }
})
