import { existsSync } from 'node:fs'
import type { Balancer, Place } from './balancer.js'

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
  wrapper: place => apacheMain(place, MODULES),
  args: ({ dir }, main) => ['-DFOREGROUND', '-d', dir, '-f', main],
  routings: {
    suffix: ['stickysession=tribeline_route stickysessionsep=Off', 'stickysession=tribeline.sid stickysessionsep=~'],
    jvmRoute: ['stickysession=tribeline_route stickysessionsep=Off', 'stickysession=tribeline.sid'],
  },
  repeatsReads: false,
}

/** Apache's main file around a site, as Debian's is. `lines`: what else is not of the site. */
export function apacheMain(place: Place, modules: readonly string[], lines: readonly string[] = []): string {
  const { dir, config, port, isRoot } = place
  return [
    `ServerRoot ${dir}`,
    `DefaultRuntimeDir ${dir}`,
    `PidFile ${dir}/apache.pid`,
    'ServerName localhost',
    `Listen 127.0.0.1:${port}`,
    'ErrorLog "|$/bin/cat >&2"',
    ...modules.filter(hasModule).map(name => `LoadModule ${name}_module ${fileOf(name)}`),
    ...(isRoot ? ['User nobody', 'Group nogroup'] : []),
    ...lines,
    `Include ${config}`,
    '',
  ].join('\n')
}

/** Whether Apache has this module in a file of its own. */
export function hasModule(name: string): boolean {
  return existsSync(fileOf(name))
}

function fileOf(module: string): string {
  const folder = MODULE_FOLDERS.find(candidate => existsSync(candidate)) ?? ''
  return `${folder}/mod_${module}.so`
}
