import type { SuspicionVerdict } from '../../membership/member-table-types.js'
import { positive, type RulesOf, resolve } from '../../options.js'
import type { Interceptor, InterceptorContext, Suspicion } from '../interceptor.js'

/** How a suspicion is verified. */
export interface TcpFailureDetectorOptions {
  /** Milliseconds to wait for an answer. Default 1,000. */
  readonly echoTimeoutMs?: number
}

const RULES: RulesOf<Required<TcpFailureDetectorOptions>> = {
  echoTimeoutMs: positive(1_000),
}

/** The detector, with its counters. */
export interface TcpFailureDetector extends Interceptor {
  /** Verifications since the start, by what they found. */
  readonly verdicts: Readonly<Record<SuspicionVerdict, number>>
}

/** A connection that was accepted and then cut is followed by another after this time. */
const PROBE_AGAIN_MS = 20
const PROBES_MAX = 10

/**
 * Asks a suspect over its control connection and, at the same moment, over a fresh one; any answer means alive. The
 * answers come from the event loop, not from the system, so a process that is stopped is found out (which Tribes'
 * TcpFailureDetector, content with a connection, does not). A refused fresh connection decides at once, except in mere
 * silence, when the old connection is heard first. One that says it leaves is asked over a fresh connection only: it
 * still answers on the old ones. Make one for each channel.
 *
 * @throws {InvalidOptionError} which option, what is allowed, what came
 */
export function tcpFailureDetector(options: TcpFailureDetectorOptions = {}): TcpFailureDetector {
  const { echoTimeoutMs } = resolve(RULES, options)
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
      const given = context
      const asked = { suspicion, timeoutMs: echoTimeoutMs, running: () => context === given }
      verify(given, asked, result => {
        verdicts[result]++
        verdict(result)
      })
    },
  }
}

interface Verification {
  readonly suspicion: Suspicion
  readonly timeoutMs: number
  running(): boolean
}

function verify(
  context: InterceptorContext,
  { suspicion: { member, why }, timeoutMs, running }: Verification,
  decided: (verdict: SuspicionVerdict) => void,
): void {
  let done = false
  let echoFailed = why === 'leaving'
  let probed: SuspicionVerdict | undefined
  const decide = (result: SuspicionVerdict): void => {
    if (done) return
    done = true
    decided(result)
  }
  const judge = (): void => {
    // After the end of a connection a refused dial is certain; in mere silence the old connection may still answer.
    if (probed === 'alive' || (probed === 'refused' && why !== 'silence')) decide(probed)
    else if (echoFailed && probed) decide(probed)
  }
  if (why !== 'leaving') {
    context.echo(member, timeoutMs, answered => {
      if (answered) return decide('alive')
      echoFailed = true
      judge()
    })
  }
  const endMs = context.clock.monotonic() + timeoutMs
  const probe = (count: number): void => {
    const leftMs = endMs - context.clock.monotonic()
    context.probe(member, leftMs, result => {
      if (done) return
      // Cut before its time is up: as the system does for a process that is just ending, which is not one that hangs.
      const cut = result === 'hung' && context.clock.monotonic() + PROBE_AGAIN_MS < endMs
      if (cut && count < PROBES_MAX) {
        context.clock.setTimer(PROBE_AGAIN_MS, () => {
          if (!done && running()) probe(count + 1)
        })
        return
      }
      probed = result
      judge()
    })
  }
  probe(1)
}
