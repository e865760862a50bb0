import type { Balancer } from './balancer.js'

/** HAProxy: the example is a whole configuration. */
export const haproxy: Balancer = {
  name: 'haproxy',
  example: 'haproxy.cfg',
  programs: ['haproxy', '/usr/sbin/haproxy'],
  install: 'apt-get install haproxy',
  version: /version (\d[\d.]*\d)/,
  replacements: ({ dir, port }) => [
    ['bind :80', `bind 127.0.0.1:${port}`],
    ['/run/haproxy/admin.sock mode', `${dir}/admin.sock mode`],
  ],
  // -db: in the foreground.
  args: (_place, main) => ['-db', '-f', main],
  repeatsWrites: ['    http-request disable-l7-retry unless { method GET HEAD OPTIONS }\n', ''],
  repeatsReads: true,
}
