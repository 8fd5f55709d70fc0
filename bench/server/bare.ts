/** The least that answers over HTTP with hono: the same bytes, read and written, and nothing else. */
import { serve } from '@hono/node-server'
import { Hono } from 'hono'

const value = new Uint8Array(1_024).fill(7)
const app = new Hono()
app.get('/v1/storage/value', async (context) => context.body(value, 200, { 'content-type': 'application/octet-stream' }))
app.put('/v1/storage/value', async (context) => {
  await context.req.arrayBuffer()
  return context.body(null, 204)
})
serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => console.log(`listens on http://127.0.0.1:${port}`))
process.once('SIGTERM', () => process.exit())
