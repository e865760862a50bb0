import { AJP_SECRET } from '../../examples/demo/protocol.js'
import { apache, apacheMain, hasModule } from './apache.js'
import type { Balancer } from './balancer.js'

const MODULES = ['mpm_event', 'authz_core', 'unixd', 'setenvif', 'jk']

/** Apache with mod_jk: the example is a site and a list of workers, which speak AJP. */
export const modJk: Balancer = {
  name: 'mod_jk',
  example: 'mod_jk.conf',
  companions: ['workers.properties'],
  programs: apache.programs,
  isComplete: () => hasModule('jk'),
  install: 'apt-get install apache2 libapache2-mod-jk',
  version: apache.version,
  speaksAjp: true,
  addresses: ports =>
    ports.map((port, index) => [
      `worker.node${index + 1}.host=10.0.0.1${index + 1}\nworker.node${index + 1}.port=8009`,
      `worker.node${index + 1}.host=127.0.0.1\nworker.node${index + 1}.port=${port}`,
    ]),
  replacements: ({ port }) => [
    ['<VirtualHost *:80>', `<VirtualHost 127.0.0.1:${port}>`],
    ['worker.template.secret=change-me', `worker.template.secret=${AJP_SECRET}`],
  ],
  wrapper: place =>
    apacheMain(place, MODULES, [
      `JkWorkersFile ${place.dir}/workers.properties`,
      `JkShmFile ${place.dir}/jk.shm`,
      'JkLogFile "|/bin/cat"',
      'JkLogLevel info',
    ]),
  args: apache.args,
  routings: { jvmRoute: ['#worker.tribeline.session_cookie=', 'worker.tribeline.session_cookie='] },
  repeatsWrites: ['recovery_options=7', 'recovery_options=6'],
  repeatsReads: false,
  learnsByRefusal: true,
}
