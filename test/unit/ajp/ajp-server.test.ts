import type { createServer } from 'node:http'
import test from 'ava'
import { type AjpServerOptions, createAjpServer } from '../../../lib/ajp/index.js'
import { InvalidOptionError } from '../../../lib/errors.js'

const cases: readonly (readonly [AjpServerOptions, string])[] = [
  [{ port: -1 }, 'Option port must be a whole number from 0 to 65535; got -1'],
  [{ packetSize: 8_191 }, 'Option packetSize must be a whole number from 8192 to 65536; got 8191'],
  [{ packetSize: 65_537 }, 'Option packetSize must be a whole number from 8192 to 65536; got 65537'],
  [{ maxConnections: 0 }, 'Option maxConnections must be a whole number from 1 to 65536; got 0'],
  [{ idleTimeoutMs: -1 }, 'Option idleTimeoutMs must be a whole number from 0 to 86400000; got -1'],
  [{ secret: '' }, 'Option secret must be a text that is not empty; got ""'],
  [{ host: 'a b' }, 'Option host must be an IP address or a host name; got "a b"'],
  [{ host: '0.0.0.0' }, "Option secret must be set when host is not this host's own (here 0.0.0.0); got undefined"],
  [{ host: '::' }, "Option secret must be set when host is not this host's own (here ::); got undefined"],
  [
    { host: '127.0.0.1.x' },
    "Option secret must be set when host is not this host's own (here 127.0.0.1.x); got undefined",
  ],
  [
    { allowedRequestAttributes: 'x' as unknown as RegExp },
    'Option allowedRequestAttributes must be a regular expression; got "x"',
  ],
]
for (const [options, message] of cases) {
  test(`refuses ${JSON.stringify(options)}`, async t => {
    await t.throwsAsync(
      createAjpServer(() => {}, options),
      { instanceOf: InvalidOptionError, message },
    )
  })
}

test('refuses what is neither a server nor a handler', async t => {
  const target = {} as unknown as ReturnType<typeof createServer>
  await t.throwsAsync(createAjpServer(target), {
    message: 'Option target must be an http.Server or a request handler; got an object',
  })
})
