import { InvalidOptionError } from '../../errors.js'
import type { SuspicionVerdict } from '../../membership/member-table-types.js'
import type { Interceptor, InterceptorContext } from '../interceptor.js'

/** How a suspicion is verified. */
export interface TcpFailureDetectorOptions {
  /** Milliseconds to wait for an answer. Default 1,000. */
  readonly echoTimeoutMs?: number
}

/** The detector, with its counters. */
export interface TcpFailureDetector extends Interceptor {
  readonly verdicts: Readonly<Record<SuspicionVerdict, number>>
}

/**
 * Asks a suspect over its control connection and, at the same moment, over a fresh one; any answer means alive. The
 * answers come from the event loop, not from the system, so a process that is stopped is found out (which Tribes'
 * TcpFailureDetector, content with a connection, does not).
 */
export function tcpFailureDetector(options: TcpFailureDetectorOptions = {}): TcpFailureDetector {
  const { echoTimeoutMs = 1_000 } = options
  if (!(echoTimeoutMs > 0)) throw new InvalidOptionError('echoTimeoutMs', 'above 0', echoTimeoutMs)
  let context: InterceptorContext | undefined
  const verdicts = { alive: 0, refused: 0, silent: 0, hung: 0 }

  return {
    name: 'tcpFailureDetector',
    verdicts,
    start(given) {
      context = given
    },
    stop() {
      context = undefined
    },
    memberSuspected(suspicion, verdict, next) {
      if (!context) return next(suspicion, verdict)
      let decided = false
      let echoFailed = false
      let probed: SuspicionVerdict | undefined
      const decide = (result: SuspicionVerdict): void => {
        if (decided) return
        decided = true
        verdicts[result]++
        verdict(result)
      }
      const judge = (): void => {
        // After the end of a connection a refused dial is certain; in mere silence the old connection may still answer.
        if (probed === 'alive' || (probed === 'refused' && suspicion.why === 'ended')) decide(probed)
        else if (echoFailed && probed) decide(probed)
      }
      context.echo(suspicion.member, echoTimeoutMs, answered => {
        if (answered) return decide('alive')
        echoFailed = true
        judge()
      })
      context.probe(suspicion.member, echoTimeoutMs, result => {
        probed = result
        judge()
      })
    },
  }
}
