/** Nobody reaches another workspace or another plugin: by no path, header, encoding or id. */
import assert from 'node:assert/strict'
import { beforeAll, describe, it } from 'vitest'
import { PluginHost } from '../../src/plugin-storage/index.ts'
import { ENDPOINTS } from '../../src/server/routes/index.ts'
import { TOKEN_SPACE } from '../../src/server/tokens.ts'
import { rawRequest } from './raw.ts'
import { bearer, newToken, startServer, type TestServer } from './support.ts'

const MARK = 'belongs-to-the-victim'
const VICTIM = 'victim'
const OWN = 'own'

let server: TestServer
/** For the workspace `own`; for one plugin in it; for reading in it. */
let token: string
let pluginToken: string
let readerToken: string
let allToken: string

beforeAll(async () => {
  server = await startServer()
  for (const workspace of [VICTIM, '', 'Own', 'own ', 'ow', 'own/', 'owń']) await plant(workspace)
  token = await newToken(server, { workspaces: [OWN] })
  pluginToken = await newToken(server, { workspaces: [OWN], plugins: ['acme/notes'] })
  readerToken = await newToken(server, { workspaces: [OWN], write: false })
  allToken = await newToken(server)
  return () => server.close()
})

/** Something of every kind, under names that every workspace has. */
async function plant(workspace: string): Promise<void> {
  const { conversation, knowledge, state } = server.db.workspace(workspace)
  await conversation.createSession({ id: 's', userId: 'u', metadata: { mark: MARK } })
  await conversation.addMessage('s', { id: 'm', role: 'user', content: MARK })
  await knowledge.createCollection('c', { dimension: 2 })
  await knowledge.insert('c', [{ id: 'd', content: MARK, embedding: [1, 0] }])
  await state.set('k', MARK)
  await new PluginHost({ state: server.db.state })
    .session({ workspaceId: workspace, pluginId: 'acme/notes' })
    .storage.setText('k', MARK)
}

/** What the victim has, as the victim sees it. */
async function inventory(workspace: string): Promise<string> {
  const { conversation, knowledge, state } = server.db.workspace(workspace)
  const storage = new PluginHost({ state: server.db.state }).session({ workspaceId: workspace, pluginId: 'acme/notes' }).storage
  return JSON.stringify([
    await conversation.getSession('s'),
    await conversation.getMessages('s'),
    await knowledge.get('c', ['d']),
    await state.keys(),
    await state.get('k'),
    await storage.keys(),
    await storage.getText('k'),
  ])
}

interface Attempt {
  readonly method: string
  readonly target: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** Sends it as it stands; what comes back holds nothing of the victim's. */
async function attempt({ method, target, headers = {}, body }: Attempt, by: string): Promise<number> {
  const all: Record<string, string> = { host: '127.0.0.1', ...bearer(by), ...headers }
  if (body !== undefined)
    Object.assign(all, { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) })
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  const answer = await rawRequest(server.url, Buffer.from(`${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n${body ?? ''}`))
  const text = `${[...(answer?.headers ?? [])].join('\n')}\n${answer?.body.toString() ?? ''}`
  assert(!text.includes(MARK), `${method} ${target} gave ${text}`)
  return answer?.status ?? 0
}

const READS = [
  '/v1/state/value?key=k',
  '/v1/state/keys?',
  '/v1/conversations/session?session=s',
  '/v1/conversations/sessions?',
  '/v1/conversations/messages?session=s',
  '/v1/conversations/search?text=belongs',
  '/v1/knowledge/collection?collection=c',
  '/v1/knowledge/collections?',
  '/v1/storage/value?plugin=acme/notes&key=k',
  '/v1/storage/keys?plugin=acme/notes',
  '/v1/storage/usage?plugin=acme/notes',
  '/v1/storage/scopes?',
]

/** How a workspace may be named in a query, so that one reader takes it for one's own and another for the victim's. */
const NAMES: readonly [what: string, query: string][] = [
  ['by name', `workspace=${VICTIM}`],
  ['left out', ''],
  ['empty', 'workspace='],
  ['twice, own first', `workspace=${OWN}&workspace=${VICTIM}`],
  ['twice, own last', `workspace=${VICTIM}&workspace=${OWN}`],
  ['twice, by an encoded name', `workspace=${OWN}&work%73pace=${VICTIM}`],
  ['by another case of the name', `Workspace=${VICTIM}&workspace=${OWN}`],
  ['as an array', `workspace[]=${VICTIM}&workspace=${OWN}`],
  ['as a member', `workspace[0]=${VICTIM}`],
  ['with an encoded separator', `workspace=${OWN}%26workspace=${VICTIM}`],
  ['with another separator', `workspace=${OWN};workspace=${VICTIM}`],
  ['encoded', `workspace=%76%69%63%74%69%6d`],
  ['encoded twice', 'workspace=%2576%2569%2563%2574%2569%256d'],
  ['overlong', 'workspace=%c1%b6%c1%a9%c1%a3%c1%b4%c1%a9%c1%ad'],
  ['in UTF-16', `workspace=v%00i%00c%00t%00i%00m%00`],
  ['cut by U+0000', `workspace=${VICTIM}%00`],
  ['own, cut by U+0000', `workspace=${OWN}%00${VICTIM}`],
  ['as a path', `workspace=${OWN}/../${VICTIM}`],
  ['as an encoded path', `workspace=${OWN}%2f..%2f${VICTIM}`],
  ['as a pattern', 'workspace=*'],
  ['as an SQL pattern', 'workspace=%25'],
  ['as SQL', `workspace=${OWN}'%20OR%20'1'='1`],
  ['with a space', 'workspace=own+'],
  ['in capitals', 'workspace=Own'],
  ['as its beginning', 'workspace=ow'],
  ['composed otherwise', 'workspace=ow%6e%cc%81'],
  ['full width', 'workspace=%ef%bd%96ictim'],
  ['as JSON', 'workspace=[%22own%22,%22victim%22]'],
  ['as a space of state', `workspace=w:${VICTIM}`],
  ['by a fragment', `workspace=${OWN}#&workspace=${VICTIM}`],
]

describe('a token for one workspace does not reach another', () => {
  it.each(NAMES)('named %s', async (_, query) => {
    for (const read of READS) {
      const status = await attempt({ method: 'GET', target: `${read}&${query}` }, token)
      assert([400, 403].includes(status), `${read}&${query}: ${status}`)
    }
  })

  const own = `workspace=${OWN}`
  const HEADERS: readonly Readonly<Record<string, string>>[] = [
    { 'x-workspace': VICTIM },
    { workspace: VICTIM },
    { 'holdfast-workspace': VICTIM },
    { 'x-workspace-id': VICTIM },
    { 'x-original-url': `/v1/state/value?workspace=${VICTIM}&key=k` },
    { 'x-rewrite-url': `/v1/state/value?workspace=${VICTIM}&key=k` },
    { 'x-forwarded-prefix': `/v1/state/value?workspace=${VICTIM}&key=k#` },
    { 'x-http-method-override': 'GET' },
    { 'x-forwarded-for': '127.0.0.1' },
    { host: `127.0.0.1/v1/state/value?workspace=${VICTIM}&key=k#` },
    { cookie: `workspace=${VICTIM}` },
    { 'content-location': `/v1/state/value?workspace=${VICTIM}&key=k` },
  ]

  it('by a header', async () => {
    for (const headers of HEADERS) {
      for (const read of READS) await attempt({ method: 'GET', target: `${read}&${own}`, headers }, token)
    }
  })

  it('by another method in a header', async () => {
    const before = await inventory(VICTIM)
    for (const name of ['x-http-method-override', 'x-http-method', 'x-method-override', '_method']) {
      for (const method of ['GET', 'POST']) {
        await attempt({ method, target: `/v1/state/value?workspace=${VICTIM}&key=k`, headers: { [name]: 'DELETE' } }, token)
        await attempt({ method, target: `/v1/state/value?workspace=${VICTIM}&key=k&_method=DELETE` }, token)
      }
    }
    assert.equal(await inventory(VICTIM), before)
  })

  const PATHS = [
    `/v1/state/value/../value?workspace=${VICTIM}&key=k`,
    `/v1/%73tate/value?workspace=${VICTIM}&key=k`,
    `//v1/state/value?workspace=${VICTIM}&key=k`,
    `/v1//state/value?workspace=${VICTIM}&key=k`,
    `/v1/state/value/?workspace=${VICTIM}&key=k`,
    `/v1/state/value;workspace=${VICTIM}?key=k`,
    `/v1/state/value%3fworkspace=${VICTIM}&key=k`,
    `/v1/state/value%23?workspace=${VICTIM}&key=k`,
    `/V1/STATE/VALUE?workspace=${VICTIM}&key=k`,
    `/${VICTIM}/v1/state/value?key=k`,
    `/v1/${VICTIM}/state/value?key=k`,
    `/v1/workspaces/${VICTIM}/state/value?key=k`,
    `http://127.0.0.1/v1/state/value?workspace=${VICTIM}&key=k`,
    `http://${VICTIM}/v1/state/value?workspace=${VICTIM}&key=k`,
    `/healthz/../v1/state/value?workspace=${VICTIM}&key=k`,
    `/openapi.json/../v1/state/value?workspace=${VICTIM}&key=k`,
    `/healthz?x=/v1/state/value?workspace=${VICTIM}&key=k`,
  ]
  it.each(PATHS)('by the path %s', async (target) => {
    await attempt({ method: 'GET', target }, token)
  })

  const BODIES: readonly (readonly [path: string, body: object])[] = [
    ['conversations/sessions/list', {}],
    ['conversations/sessions/list', { workspace: VICTIM }],
    ['conversations/sessions/list', { metadata: { workspace: VICTIM } }],
    ['knowledge/documents/get?collection=c', { ids: ['d'] }],
    ['knowledge/documents/list?collection=c', { workspace: VICTIM }],
    ['knowledge/search?collection=c', { embedding: [1, 0] }],
    ['backends/conversation/getSession', { workspace: VICTIM, id: 's' }],
    ['backends/conversation/getSession', { id: 's' }],
    ['backends/conversation/listSessions', { workspace: VICTIM, query: { order: 'asc', limit: 5 } }],
    ['backends/conversation/readMessages', { workspace: VICTIM, sessionId: 's', query: { order: 'asc' } }],
    ['backends/conversation/search', { workspace: VICTIM, search: { terms: ['belongs'], limit: 5 } }],
    ['backends/conversation/listWorkspaces', { query: { limit: 5 } }],
    ['backends/knowledge/describeCollection', { workspace: VICTIM, name: 'c' }],
    ['backends/knowledge/listCollections', { workspace: VICTIM }],
    ['backends/knowledge/listWorkspaces', { query: { limit: 5 } }],
    ['backends/state/listSpaces', { scan: { prefix: '', limit: 5 } }],
    ...['', 'w:', `w:${VICTIM}`, 'w:own ', 'W:own', `p:${'0'.repeat(64)}`, 'pi:', 'e:', 't:', 'T:', 't: '].flatMap((space) => [
      ['backends/state/scan', { space, scan: { prefix: '', limit: 5 } }] as const,
      ['backends/state/commit', { space, commit: { delete: ['k'] } }] as const,
      ...(space === 'e:' ? [] : [['backends/state/get', { space, keys: ['k', 'meta', 'used', 'v:k'] }] as const]),
    ]),
  ]

  it.each(BODIES)('by the body: %s %j', async (path, body) => {
    const separator = path.includes('?') ? '&' : '?'
    const isRest = !path.startsWith('backends')
    const target = `/v1/${path}${isRest ? `${separator}${own}` : ''}`
    const before = await inventory(VICTIM)
    const status = await attempt({ method: 'POST', target, body: JSON.stringify(body) }, token)
    if (isRest) assert([200, 400, 404].includes(status), String(status))
    else assert([400, 403].includes(status), String(status))
    assert.equal(await inventory(VICTIM), before)
  })

  it('by a key of JSON that comes twice, or is __proto__', async () => {
    for (const body of [
      `{"workspace":"${OWN}","workspace":"${VICTIM}","id":"s"}`,
      `{"workspace":"${VICTIM}","__proto__":{"workspace":"${OWN}"},"id":"s"}`,
      `{"__proto__":{"workspace":"${VICTIM}"},"id":"s"}`,
      `{"\\u0077orkspace":"${VICTIM}","id":"s"}`,
    ]) {
      const status = await attempt({ method: 'POST', target: '/v1/backends/conversation/getSession', body }, token)
      assert([400, 403].includes(status), `${body}: ${status}`)
    }
  })

  it('by a cursor of another workspace', async () => {
    await server.db.workspace(VICTIM).state.set('k2', MARK)
    const headers = bearer(allToken)
    for (const [path, more] of [
      ['/v1/state/keys', ''],
      ['/v1/conversations/sessions', ''],
      ['/v1/storage/keys', '&plugin=acme/notes'],
    ]) {
      const page = await fetch(`${server.url}${path}?workspace=${VICTIM}&limit=1${more}`, { headers })
      const { cursor = 'WyJzdGF0ZSIsIiIsIiJd' } = (await page.json()) as { cursor?: string }
      await attempt({ method: 'GET', target: `${path}?${own}&cursor=${cursor}${more}` }, token)
    }
    await server.db.workspace(VICTIM).state.delete('k2')
  })
})

describe('a token for the default workspace', () => {
  it('reaches its space of state, and none that is only called alike', async () => {
    const by = await newToken(server, { workspaces: [''] })
    const scan = (space: string): Promise<number> =>
      attempt(
        { method: 'POST', target: '/v1/backends/state/scan', body: JSON.stringify({ space, scan: { prefix: '', limit: 5 } }) },
        by,
      )
    assert.equal(await scan(''), 200)
    for (const space of ['w:', 'w', 'w: ', ':', 'w:*']) assert.equal(await scan(space), 403, space)
  })
})

describe('a token for one plugin', () => {
  it('reaches the storage of no other, and nothing else', async () => {
    const scope = `workspace=${OWN}`
    for (const plugin of [
      'acme/other',
      'acme/notes/../other',
      'acme%2fother',
      'Acme/notes',
      'acme/notes%00',
      'acme/notes,acme/other',
      '*',
    ]) {
      const status = await attempt({ method: 'GET', target: `/v1/storage/keys?${scope}&plugin=${plugin}` }, pluginToken)
      assert([400, 403].includes(status), `${plugin}: ${status}`)
    }
    for (const read of READS.filter((each) => !each.includes('plugin='))) {
      assert.equal(await attempt({ method: 'GET', target: `${read}&${scope}` }, pluginToken), 403, read)
    }
    assert.equal(await attempt({ method: 'GET', target: `/v1/storage/keys?${scope}&plugin=acme/notes` }, pluginToken), 200)
  })
})

describe('a token for reading', () => {
  it('writes nothing, by any endpoint', async () => {
    const before = JSON.stringify([
      await server.db.workspace(OWN).state.keys(),
      await server.db.workspace(OWN).conversation.listSessions(),
    ])
    for (const { method, path, body, need } of ENDPOINTS) {
      if (method === 'GET') continue
      const isWrite = path.startsWith('/v1/backends')
        ? /create|patch|delete|append|restore|write|commit/i.test(path)
        : !/\/(list|get|count|search)$/.test(path)
      if (!isWrite) continue
      const query = `workspace=${OWN}&session=s&message=m&collection=c&plugin=acme/notes&key=k`
      const wanted = path.startsWith('/v1/backends') ? '' : `?${query}`
      const status = await attempt(
        { method, target: `${path}${wanted}`, ...(body === undefined ? {} : { body: '{}' }) },
        readerToken,
      )
      assert([400, 403].includes(status), `${method} ${path}: ${status}`)
      assert(need !== undefined)
    }
    const after = JSON.stringify([
      await server.db.workspace(OWN).state.keys(),
      await server.db.workspace(OWN).conversation.listSessions(),
    ])
    assert.equal(after, before)
    const commit = { space: `w:${OWN}`, commit: { set: [{ key: 'k', value: '1' }] } }
    assert.equal(
      await attempt({ method: 'POST', target: '/v1/backends/state/commit', body: JSON.stringify(commit) }, readerToken),
      403,
    )
  })
})

describe('the server’s own space', () => {
  it('is reached by no tier and no token', async () => {
    const post = async (method: string, body: object): Promise<{ status: number; text: string }> => {
      const response = await fetch(`${server.url}/v1/backends/state/${method}`, {
        method: 'POST',
        headers: { ...bearer(allToken), 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      return { status: response.status, text: await response.text() }
    }
    const id = allToken.slice(3, 19)
    assert.equal((await post('get', { space: TOKEN_SPACE, keys: [id] })).status, 403)
    assert.equal((await post('scan', { space: TOKEN_SPACE, scan: { prefix: '', limit: 5 } })).status, 403)
    assert.equal((await post('commit', { space: TOKEN_SPACE, commit: { delete: [id] } })).status, 403)
    const all: string[] = []
    for (let after: string | undefined, page: string[] = ['']; page.length > 0; after = page.at(-1)) {
      const { status, text } = await post('listSpaces', {
        scan: { prefix: '', limit: 2, ...(after === undefined ? {} : { after }) },
      })
      assert.equal(status, 200)
      page = (JSON.parse(text) as { result: string[] }).result
      all.push(...page)
    }
    const stored = await server.db.state.core.backend.listSpaces!({ prefix: '', limit: 100 })
    assert(stored.includes(TOKEN_SPACE))
    assert.deepEqual(
      all,
      stored.filter((space) => space !== TOKEN_SPACE),
    )
    assert.deepEqual(JSON.parse((await post('listSpaces', { scan: { prefix: 't', limit: 5 } })).text), { result: [] })
    for (const path of ['/v1/state/keys?workspace=t:', '/v1/state/keys?workspace=', `/v1/state/value?workspace=&key=${id}`]) {
      assert(!(await (await fetch(`${server.url}${path}`, { headers: bearer(allToken) })).text()).includes(id))
    }
    assert.equal((await fetch(`${server.url}/v1/state/keys`, { headers: bearer(allToken) })).status, 200)
  })
})
