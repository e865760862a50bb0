import test from 'ava'
import { loopbackGroup, until } from '../helpers/loopback-cluster.js'

/** Sessions larger than a frame: they travel in parts, and a newcomer gets them as any other. */
for (const maxFrameBytes of [65_536, 1_048_576]) {
  test(`sessions of several megabytes reach members and newcomers through frames of ${maxFrameBytes} bytes`, async t => {
    const group = loopbackGroup(t)
    const join: typeof group = name => group(name, { receiver: { maxFrameBytes }, sessions: { ackTimeoutMs: 10_000 } })
    const a = await join('a')
    const b = await join('b')
    await until(() => a.members.length === 1)
    const wide = a.sessions.create()
    for (let n = 0; n < 4; n++) wide.set(`part${n}`, `${n}`.repeat(700_000))
    t.like(await a.sessions.commit(wide), { outcome: 'met', applied: 1 })
    t.is(b.sessions.find(wide.id)?.get<string>('part3'), '3'.repeat(700_000))

    const grown = a.sessions.create()
    for (let n = 0; n < 5; n++) {
      const view = (n % 2 === 0 ? a : b).sessions.find(grown.id)
      view?.set(`part${n}`, `${n}`.repeat(700_000))
      t.like(view && (await (n % 2 === 0 ? a : b).sessions.commit(view)), { outcome: 'met' })
    }
    const c = await join('c')
    for (const { id } of [wide, grown]) {
      t.deepEqual([...(c.sessions.find(id)?.entries() ?? [])], [...(a.sessions.find(id)?.entries() ?? [])])
    }
    t.is(c.sessions.find(grown.id)?.get<string>('part4')?.length, 700_000)
    for (const member of [a, b, c]) {
      t.like(member.stats().replication, { internalErrors: 0, incomplete: 0, unreadable: 0, divergences: 0 })
    }
  })
}

test('a newcomer gets large sessions in frames as large as it takes, whatever the others take', async t => {
  const group = loopbackGroup(t)
  const join = (name: string, maxFrameBytes: number): ReturnType<typeof group> =>
    group(name, { receiver: { maxFrameBytes }, sessions: { ackTimeoutMs: 10_000 } })
  const a = await join('a', 1_048_576)
  const texts = Array.from({ length: 20 }, (_, n) => String.fromCharCode(97 + n).repeat(20_000 * (n + 1)))
  const ids = texts.map(text => {
    const session = a.sessions.create()
    session.set('text', text)
    void a.sessions.commit(session)
    return session.id
  })
  for (const [name, maxFrameBytes] of [
    ['b', 1_048_576],
    ['c', 65_536],
    ['d', 131_072],
  ] as const) {
    const member = await join(name, maxFrameBytes)
    t.deepEqual(
      ids.map(id => member.sessions.find(id)?.get<string>('text')),
      texts,
    )
    t.like(member.stats().replication, { internalErrors: 0, incomplete: 0, unreadable: 0, divergences: 0 })
    const { transport } = member.stats().channel as { transport: { receiver: { badFrames: number } } }
    t.is(transport.receiver.badFrames, 0)
  }
})
