import type { NodeHandle } from '../../examples/demo/fleet.js'
import type { CartState } from '../../examples/demo/protocol.js'

/** A session that a browser began, as its cookies say. */
export interface Visit {
  readonly id: string
  readonly cookie: string
}

/** Begins so many sessions, each with one write. */
export async function beginVisits(port: number, count: number): Promise<readonly Visit[]> {
  const visits: Visit[] = []
  while (visits.length < count) {
    const response = await post(port, '/write', '')
    const cookie = response.headers
      .getSetCookie()
      .map(line => line.split(';')[0])
      .join('; ')
    const signed = decodeURIComponent(/(?:^|; )sid=([^;]*)/.exec(cookie)?.[1] ?? '')
    visits.push({ cookie, id: /^s:(.*)\.[^.]*$/.exec(signed)?.[1] ?? '' })
  }
  return visits
}

/** Ends sessions, as their browsers ask. */
export async function endVisits(port: number, visits: readonly Visit[]): Promise<void> {
  for (const { cookie } of visits) await post(port, '/logout', cookie)
}

/** How many of the sessions each node holds with their one write, asked past the balancer. */
export async function held(nodes: readonly NodeHandle[], visits: readonly Visit[]): Promise<readonly number[]> {
  return Promise.all(
    nodes.map(async ({ debugPort }) => {
      const response = await fetch(`http://127.0.0.1:${debugPort}/sessions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(visits.map(({ id }) => id)),
      })
      const found = (await response.json()) as Record<string, CartState>
      return visits.filter(({ id }) => found[id]?.count === 1).length
    }),
  )
}

async function post(port: number, path: string, cookie: string): Promise<Response> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: 'POST',
    headers: { cookie, connection: 'close' },
  })
  const said = await response.text()
  if (response.status !== 200) throw new Error(`${path} was answered with ${response.status}: ${said.slice(0, 200)}`)
  return response
}
