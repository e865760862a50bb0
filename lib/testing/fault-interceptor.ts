import type { Interceptor, InterceptorContext } from '../channel/interceptor.js'
import type { SimRandom } from './sim-random.js'

/** Probabilities of faults between a topic and its channel; may be changed while it runs. */
export interface ChannelFaults {
  /** A received message is lost; its sender learns `rejected`. */
  drop: number
  /** A received message is delivered twice. */
  duplicate: number
  /** A received message is delivered up to `delayMaxMs` later, overtaken by others; its sender learns `deferred`. */
  delay: number
  /** A message finds the queue to a member full. */
  fullQueue: number
  /** Milliseconds. Default 100. */
  readonly delayMaxMs?: number
}

const DELAY_MAX_MS = 100

/** An interceptor that loses, repeats and holds back messages, by the simulation's own lots. */
export function faultInterceptor(
  faults: ChannelFaults,
  random: SimRandom,
  mark: (name: string) => void = () => {},
): Interceptor {
  let context: InterceptorContext | undefined
  return {
    name: 'fault',
    takesRest: true,
    start: started => void (context = started),
    stop: () => void (context = undefined),
    send: (message, next) => {
      if (faults.fullQueue <= 0) return next(message)
      const full = new Set(message.to.filter(() => random.chance(faults.fullQueue)))
      if (full.size === 0) return next(message)
      mark('message dropped by a full queue')
      for (const member of full) message.settled?.(member, 'queue-full')
      const to = message.to.filter(member => !full.has(member))
      if (to.length > 0) next({ ...message, to })
    },
    receive: (message, from, next) => {
      if (random.chance(faults.drop)) {
        mark('message dropped on arrival')
        return 'rejected'
      }
      if (context !== undefined && random.chance(faults.delay)) {
        mark('message held back')
        context.clock.setTimer(random.between(1, faults.delayMaxMs ?? DELAY_MAX_MS), () => {
          if (context !== undefined) next(message, from)
        })
        return 'deferred'
      }
      const outcome = next(message, from)
      if (random.chance(faults.duplicate)) {
        mark('message repeated')
        next(message, from)
      }
      return outcome
    },
  }
}
