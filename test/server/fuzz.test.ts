/** Ten thousand requests that are wrong: the server stays up, names what is wrong with each, and gives nothing away. */
import assert from 'node:assert/strict'
import { afterAll, beforeAll, it } from 'vitest'
import { ERROR_CODES } from '../../src/errors.ts'
import { PluginHost } from '../../src/plugin-storage/index.ts'
import { ENDPOINTS } from '../../src/server/routes/index.ts'
import { Fuzzer, type Fuzzed } from './fuzzing.ts'
import { inWorkspace, RICH_BODIES } from './good-requests.ts'
import { RawConnection, type RawAnswer } from './raw.ts'
import { bearer, eventually, newToken, startServer, type TestServer } from './support.ts'

/** `HOLDFAST_FUZZ=100000` for more of them, `HOLDFAST_FUZZ=10000:7` for others. */
const [COUNT = 10_000, SEED = 1] = (process.env['HOLDFAST_FUZZ'] ?? '10000').split(':').map(Number)
const WIDTH = 16
const HEAD = Buffer.from('HEAD ')
const MARK = 'belongs-to-the-victim'
/** What is not whole is given this long, and then cut off. */
const PATIENCE_MS = 150

const QUERY = { workspace: 'own', session: 's1', message: 'm', collection: 'c', plugin: 'acme/notes', key: 'k', text: 'x' }

let server: TestServer
let token: string

beforeAll(async () => {
  server = await startServer(undefined, { limits: { bodyPauseMs: 100, headerTimeoutMs: 1_000 } })
  for (const workspace of ['victim', '']) await plant(workspace)
  token = await newToken(server, { workspaces: ['own'] })
})
afterAll(() => server.close())

async function plant(workspace: string): Promise<void> {
  const { conversation, knowledge, state } = server.db.workspace(workspace)
  await conversation.createSession({ id: 's1', userId: 'u', metadata: { mark: MARK } })
  await conversation.addMessage('s1', { id: 'm', role: 'user', content: MARK })
  await knowledge.createCollection('c', { dimension: 2 })
  await knowledge.insert('c', [{ id: 'a', content: MARK, embedding: [1, 0] }])
  await state.set('k', MARK)
  await storageOf(workspace).setText('k', MARK)
}

function storageOf(workspaceId: string): ReturnType<PluginHost['session']>['storage'] {
  return new PluginHost({ state: server.db.state }).session({ workspaceId, pluginId: 'acme/notes' }).storage
}

async function inventory(): Promise<string> {
  const all = ['victim', ''].map(async (workspace) => {
    const { conversation, knowledge, state } = server.db.workspace(workspace)
    return [
      await conversation.listSessions(),
      await conversation.getMessages('s1'),
      await knowledge.listCollections(),
      await knowledge.list('c'),
      await state.getMany(await state.keys()),
      await storageOf(workspace).keys(),
      await storageOf(workspace).getText('k'),
    ]
  })
  return JSON.stringify(await Promise.all(all))
}

/** Undefined where what was sent is no whole request, and so was not answered. */
async function answerOf({ bytes, isWhole }: Fuzzed): Promise<RawAnswer | undefined> {
  const connection = await RawConnection.open(server.url)
  try {
    connection.send(bytes)
    // What says that more will come, and then does not come, is the end of it.
    if (!isWhole) connection.socket.end()
    return await connection.answer(isWhole ? 20_000 : PATIENCE_MS, bytes.subarray(0, 5).equals(HEAD)).catch((error: Error) => {
      if (isWhole) throw error
      return undefined
    })
  } finally {
    connection.close()
  }
}

function check(fuzzed: Fuzzed, answer: RawAnswer | undefined): string {
  if (answer === undefined) {
    assert(!fuzzed.isWhole, 'a whole request was not answered')
    return 'none'
  }
  const text = answer.body.toString('latin1')
  assert(!text.includes(MARK), 'it gave away what is another’s')
  if (answer.status < 400) return String(answer.status)
  assert(answer.status < 500 || answer.status === 501, `it failed with ${answer.status}: ${text}`)
  if (fuzzed.bytes.subarray(0, 5).equals(HEAD)) return String(answer.status)
  assert.equal(answer.headers.get('content-type'), 'application/problem+json')
  const { code, status } = JSON.parse(answer.body.toString()) as { code: string; status: number }
  assert(Object.hasOwn(ERROR_CODES, code) && status === answer.status, text)
  return `${status} ${code}`
}

it(`${COUNT} malformed requests are refused one by one`, { timeout: 60_000 + COUNT * 20 }, async () => {
  const own = server.db.workspace('own')
  await own.conversation.createSession({ id: 's1' })
  await own.knowledge.createCollection('c', { dimension: 2 })
  const before = await inventory()
  const goods = ENDPOINTS.map(({ method, path, query: { shape } }) => ({
    method,
    path,
    query: Object.fromEntries(Object.entries(QUERY).filter(([name]) => name in shape)),
    body: inWorkspace(path, RICH_BODIES[`${method} ${path}`], 'own'),
  }))
  const fuzzer = new Fuzzer(SEED, goods, `host: 127.0.0.1\r\nauthorization: ${bearer(token).authorization}\r\n`)
  const answers = new Map<string, number>()
  let sent = 0
  const worker = async (): Promise<void> => {
    while (sent < COUNT) {
      const number = sent++
      const fuzzed = fuzzer.next()
      try {
        const kind = check(fuzzed, await answerOf(fuzzed))
        answers.set(kind, (answers.get(kind) ?? 0) + 1)
      } catch (cause) {
        throw new Error(
          `request ${number} of seed ${SEED}: ${(cause as Error).message}\n${fuzzed.bytes.toString('latin1').slice(0, 2_000)}`,
          { cause },
        )
      }
    }
  }
  await Promise.all(Array.from({ length: WIDTH }, worker))
  console.log(`answers to ${COUNT} malformed requests:`, Object.fromEntries([...answers].toSorted((a, b) => b[1] - a[1])))
  assert.equal(await inventory(), before)
  assert.equal((await fetch(`${server.url}/readyz`)).status, 200)
  assert((answers.get('400 INVALID_ARGUMENT') ?? 0) > COUNT / 4, 'most are wrong')
  const failures = (): typeof server.lines => server.lines.filter(({ event, level }) => event === 'server' || level === 'error')
  assert.deepEqual(failures(), [])
  const metrics = async (): Promise<string> =>
    (await fetch(`${server.url}/metrics`, { headers: bearer(await newToken(server)) })).text()
  await eventually(async () => (await metrics()).includes('holdfast_http_requests_under_way 1\n'), 'no request is left under way')
})
