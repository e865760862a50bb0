import type { Balancer } from './balancer.js'

/** nginx: the example goes inside `http { }`. */
export const nginx: Balancer = {
  name: 'nginx',
  example: 'nginx.conf',
  programs: ['nginx', '/usr/sbin/nginx'],
  install: 'apt-get install nginx-light',
  version: /nginx\/(\d[\d.]*\d)/,
  replacements: ({ port }) => [['listen 80;', `listen 127.0.0.1:${port};`]],
  wrapper: ({ dir, config, isRoot }) =>
    [
      ...(isRoot ? ['user root;'] : []),
      'daemon off;',
      'worker_processes 2;',
      `pid ${dir}/nginx.pid;`,
      'events { worker_connections 1024; }',
      'http {',
      `  access_log off;`,
      ...['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `  ${name}_temp_path ${dir}/${name};`),
      `  include ${config};`,
      '}',
      '',
    ].join('\n'),
  args: ({ dir }, main) => ['-p', dir, '-e', 'stderr', '-c', main],
  repeatsWrites: ['proxy_next_upstream error timeout;', 'proxy_next_upstream error timeout non_idempotent;'],
  repeatsReads: true,
  takeOut: (config, address) => config.replaceAll(`server ${address} `, `server ${address} down `),
}
