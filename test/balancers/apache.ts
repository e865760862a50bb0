import { existsSync } from 'node:fs'
import type { Balancer } from './balancer.js'

const MODULE_FOLDERS = ['/usr/lib/apache2/modules', '/usr/lib64/httpd/modules', '/etc/httpd/modules']
/** What Debian's main file and the `a2enmod` of the example load; those built into a program are left out. */
const MODULES = [
  'mpm_event',
  'authz_core',
  'unixd',
  'watchdog',
  'slotmem_shm',
  'headers',
  'proxy',
  'proxy_http',
  'proxy_balancer',
  'lbmethod_byrequests',
  'proxy_hcheck',
]

/** Apache: the example is a site, as Debian's main file includes them. */
export const apache: Balancer = {
  name: 'apache',
  example: 'apache.conf',
  programs: ['apache2', '/usr/sbin/apache2', 'httpd', '/usr/sbin/httpd'],
  install: 'apt-get install apache2',
  version: /Apache\/(\d[\d.]*\d)/,
  replacements: ({ port }) => [['<VirtualHost *:80>', `<VirtualHost 127.0.0.1:${port}>`]],
  wrapper: ({ dir, config, port, isRoot }) =>
    [
      `ServerRoot ${dir}`,
      `DefaultRuntimeDir ${dir}`,
      `PidFile ${dir}/apache.pid`,
      'ServerName localhost',
      `Listen 127.0.0.1:${port}`,
      'ErrorLog "|$/bin/cat >&2"',
      ...loadModules(),
      ...(isRoot ? ['User nobody', 'Group nogroup'] : []),
      `Include ${config}`,
      '',
    ].join('\n'),
  args: ({ dir }, main) => ['-DFOREGROUND', '-d', dir, '-f', main],
  repeatsReads: false,
}

function loadModules(): string[] {
  const folder = MODULE_FOLDERS.find(candidate => existsSync(candidate)) ?? ''
  return MODULES.flatMap(name => {
    const file = `${folder}/mod_${name}.so`
    return existsSync(file) ? [`LoadModule ${name}_module ${file}`] : []
  })
}
