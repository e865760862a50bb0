import { type Row, ratio, type Target } from '../bench.js'

type Find = (labels: Row['labels'], key: string) => number | null

/** What we want to reach beside Tribes and Redis, as ratios of medians of one run. */
export function peerTargets(find: Find): Target[] {
  const none = { ack: 'none', writers: 1 }
  const applied = { ack: 'applied', nodes: 2 }
  const ours = (labels: Row['labels'], key = 'perSecond'): number | null => find({ side: 'tribeline', ...labels }, key)
  const tribes = (labels: Row['labels'], key = 'perSecond'): number | null => find({ side: 'tribes', ...labels }, key)
  const targets: Target[] = []
  const atLeast = (what: string, wanted: number, measured: number | null): void => {
    targets.push({ what, wanted: { atLeast: wanted }, unit: 'x', measured })
  }
  const atMost = (what: string, wanted: number, measured: number | null): void => {
    targets.push({ what, wanted: { atMost: wanted }, unit: 'x', measured })
  }
  for (const bytes of [64, 256, 1_024, 16_384]) {
    const labels = { ...none, bytes, nodes: 2, kind: 'raw' }
    const wanted = bytes < 16_384 ? 4 : 1.5
    atLeast(`raw messages, no ack, 2 nodes, ${bytes} B: Tribes async`, wanted, ratio(ours(labels), tribes(labels)))
  }
  for (const nodes of [2, 4]) {
    for (const bytes of [64, 256, 1_024, 16_384]) {
      const labels = { ...none, bytes, nodes }
      const wanted = bytes === 16_384 ? 1 : nodes === 2 ? 2 : 4
      const measured = ratio(ours({ ...labels, kind: 'delta' }), tribes({ ...labels, kind: 'raw' }))
      atLeast(`deltas, ack none, ${nodes} nodes, ${bytes} B: Tribes’ raw async messages`, wanted, measured)
    }
  }
  for (const nodes of [2, 3]) {
    for (const [ack, writers] of [
      ['none', 1],
      ['none', 8],
      ['applied', 8],
    ] as const) {
      const labels = { nodes, bytes: 1_024, ack, writers }
      const measured = ratio(ours({ ...labels, kind: 'delta' }), tribes({ ...labels, kind: 'map' }))
      atLeast(`deltas of 1 KiB, ${ack}, ${writers} writers, ${nodes} nodes: ReplicatedMap puts`, 4, measured)
    }
    const one = { nodes, bytes: 1_024, ack: 'applied', writers: 1 }
    const measured = ratio(ours({ ...one, kind: 'delta' }, 'p50Ms'), tribes({ ...one, kind: 'map' }, 'p50Ms'))
    atMost(`p50 of one acknowledged delta of 1 KiB, ${nodes} nodes: ReplicatedMap put`, 0.5, measured)
  }
  for (const bytes of [64, 256, 1_024, 16_384]) {
    const labels = { ...applied, bytes, writers: 32 }
    const own = ours({ ...labels, kind: 'delta' })
    atLeast(
      `deltas, applied, 32 writers, ${bytes} B: Tribes sync ack`,
      2,
      ratio(own, tribes({ ...labels, kind: 'raw' })),
    )
    const redis = find({ side: 'ioredis', kind: 'set', bytes, writers: 32 }, 'perSecond')
    atLeast(`deltas, applied, 32 writers, ${bytes} B: ioredis SET, 32 in flight`, 1.3, ratio(own, redis))
  }
  for (const bytes of [64, 256, 1_024, 16_384]) {
    const labels = { ...applied, bytes, writers: 1 }
    const own = ours({ ...labels, kind: 'delta' }, 'p50Ms')
    const sync = tribes({ ...labels, kind: 'raw' }, 'p50Ms')
    atMost(`p50 of one applied delta, ${bytes} B: Tribes sync ack`, 1, ratio(own, sync))
    const redis = find({ side: 'ioredis', kind: 'set', bytes, writers: 1 }, 'p50Ms')
    atMost(`p50 of one applied delta, ${bytes} B: ioredis SET`, 1, ratio(own, redis))
    const echo = find({ side: 'socket', bytes }, 'p50Ms')
    atMost(`p50 of one applied delta, ${bytes} B: echo over a bare socket`, 1.25, ratio(own, echo))
  }
  for (const nodes of [2, 4]) {
    for (const bytes of [64, 256, 1_024]) {
      const labels = { ...none, bytes, nodes }
      const own = ours({ ...labels, kind: 'delta' }, 'cpuSecondsPerMillion')
      const measured = ratio(own, tribes({ ...labels, kind: 'raw' }, 'cpuSecondsPerMillion'))
      atMost(
        `CPU per million deltas, none, ${nodes} nodes, ${bytes} B: Tribes’ raw`,
        nodes === 2 ? 0.5 : 0.25,
        measured,
      )
    }
  }
  return targets
}
