/** The page at the balancer's address: the session, the node that serves it, and the nodes themselves. */
export const page: string = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>tribeline demo</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#1a2330;background:#fbfbfa}
h1{font-size:1.4rem} section{background:#fff;border:1px solid #dde1e6;border-radius:8px;padding:1rem;margin:1rem 0}
button{font:inherit;padding:.3rem .8rem;border:1px solid #8a94a3;border-radius:6px;background:#f3f5f7;cursor:pointer}
table{border-collapse:collapse;width:100%} td,th{text-align:left;padding:.3rem .5rem;border-bottom:1px solid #eceff2}
b.node{color:#0a5fb4} .down{color:#b3261e} .up{color:#19733a} code{font-size:.85em;word-break:break-all}
</style></head><body>
<h1>tribeline: one session, several servers</h1>
<section>
<p>Served by <b class="node" id="node">…</b>. Session <code id="id">none yet</code></p>
<p>Counter: <b id="count">0</b>. Cart: <span id="cart">empty</span></p>
<p><button id="write">Write</button> <button id="logout">Log out</button> <span id="said"></span></p>
</section>
<section>
<table><thead><tr><th>Node</th><th>State</th><th>Sees</th><th>Sessions</th><th>Pending</th><th></th></tr></thead>
<tbody id="rows"></tbody></table>
<p>Kill the node that serves you, then write: the counter goes on.</p>
</section>
<script>
const at = id => document.getElementById(id)
function show(s) {
  at('node').textContent = s.node
  if ('id' in s) at('id').textContent = s.id
  at('count').textContent = s.count ?? 0
  at('cart').textContent = (s.cart ?? []).join(', ') || 'empty'
}
async function call(path, method) {
  const response = await fetch(path, { method, headers: { 'x-demo': '1' } })
  if (!response.ok) throw new Error(path + ': ' + response.status)
  return response.json()
}
const said = text => { at('said').textContent = text }
async function refresh() {
  try { show({ id: 'none yet', ...await call('/session', 'GET') }) } catch (error) { said(error.message) }
  try { rows(await call('/control/nodes', 'GET')) } catch (error) { said(error.message) }
}
function rows(list) {
  at('rows').replaceChildren(...list.map(row => {
    const tr = document.createElement('tr')
    const cells = [row.name, row.state, (row.members ?? []).join(', '), row.sessions ?? '', row.pendingDeltas ?? '']
    for (const text of cells) tr.insertCell().textContent = text
    tr.cells[1].className = row.state === 'up' ? 'up' : 'down'
    const button = document.createElement('button')
    const verb = row.state === 'down' ? 'start' : 'kill'
    button.textContent = verb
    button.onclick = () => call('/control/' + verb + '?name=' + row.name, 'POST').catch(error => said(error.message))
    tr.insertCell().append(button)
    return tr
  }))
}
at('write').onclick = async () => {
  const started = performance.now()
  try { show(await call('/write', 'POST')); said('written in ' + Math.round(performance.now() - started) + ' ms') }
  catch (error) { said(error.message) }
  refresh()
}
at('logout').onclick = () => call('/logout', 'POST').then(refresh, error => said(error.message))
setInterval(refresh, 1000)
refresh()
</script></body></html>
`
