/**
 * `npm run bench -- --dify`: round trips of 1 KB between plugins and their storage over each transport, one session and sixteen at a time,
 * as a ratio to the storage called directly in the same run. The Python plugins run on the SDK of `npm run services dify-sdk`.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pythonOf } from '../scripts/services/dify-sdk.ts'
import { servicesHome } from '../scripts/services/home.ts'
import { freePort } from '../scripts/services/ports.ts'
import { DifyHost, type DifyPlugin } from '../src/dify/index.ts'
import { STATE_STORES } from '../src/index.ts'
import { PluginHost } from '../src/plugin-storage/index.ts'
import { writePlugin } from '../test/dify/plugin-folder.ts'
import { measure, rounds } from './dify/rounds.ts'
import { table } from './measure.ts'

const KEY = 'a key of sufficient length'
const SESSIONS = 16
const WORKSPACE = 'w1'
const PYTHON = pythonOf(servicesHome())
const ROUNDS = join(import.meta.dirname, 'dify', 'rounds.ts')
const SOURCES = join(import.meta.dirname, '..', 'src')

interface Figures {
  readonly set: number
  readonly get: number
}

interface Way {
  readonly name: string
  /** Of one session; the slower, the fewer. */
  readonly rounds: number
  /** Runs one session of so many rounds, and gives the seconds it took. */
  readonly session: (rounds: number, key: string) => Promise<Figures>
}

/** What is open, and in which folder things are written. */
interface Bench {
  readonly folder: string
  readonly host: DifyHost
  readonly children: ChildProcess[]
}

export async function dify(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  const children: ChildProcess[] = []
  await using state = await STATE_STORES.create('sqlite', { path: join(folder, 'state.db') })
  const plugins = new PluginHost({ state })
  try {
    await using host = new DifyHost({ plugins })
    const bench = { folder, host, children }
    const { storage } = plugins.session({ workspaceId: WORKSPACE, pluginId: rounds.pluginId })
    const ways: Way[] = [
      { name: 'storage, called directly', rounds: 2_000, session: (count, key) => measure(storage, count, key) },
    ]
    ways.push(await typescript(bench), await typescriptOverTcp(bench))
    if (existsSync(PYTHON)) ways.push(await python(bench), await pythonOverTcp(bench), await pythonOverHttp(bench))
    return await measured(ways)
  } finally {
    for (const child of children) child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
}

async function measured(ways: readonly Way[]): Promise<string> {
  const lines: string[][] = []
  let direct: Figures | undefined
  for (const { name, rounds, session } of ways) {
    await session(Math.ceil(rounds / 10), 'warm-up')
    const { set, get } = await session(rounds, 'one')
    const one = { set: rounds / set, get: rounds / get }
    direct ??= one
    const many = await atOnce(session, Math.ceil(rounds / SESSIONS))
    const ratios = [direct.set / one.set, direct.get / one.get].map((ratio) => ratio.toFixed(1))
    lines.push([name, ...[one.set, one.get].map(count), ...ratios, count(many)])
  }
  const header = ['1 KB on SQLite, round trips a second', 'set', 'get', 'direct/set', 'direct/get', `${SESSIONS} sessions`]
  return table(header, lines)
}

/** Sets and gets of all sessions together, a second. */
async function atOnce(session: Way['session'], rounds: number): Promise<number> {
  const began = performance.now()
  await Promise.all(Array.from({ length: SESSIONS }, (_, i) => session(rounds, `key ${i}`)))
  return (2 * SESSIONS * rounds) / ((performance.now() - began) / 1_000)
}

function count(perSecond: number): string {
  return Math.round(perSecond).toLocaleString('en')
}

function through(name: string, rounds: number, plugin: DifyPlugin): Way {
  const session = async (count: number, key: string): Promise<Figures> => {
    const call = { tool: 'rounds', parameters: { rounds: String(count), key }, workspaceId: WORKSPACE }
    const [said] = await Array.fromAsync(plugin.invokeTool(call))
    return said!.message['json_object'] as unknown as Figures
  }
  return { name, rounds, session }
}

function typescriptFolder({ folder }: Bench): string {
  const place = join(folder, 'typescript')
  mkdirSync(place, { recursive: true })
  const from = (path: string): string => JSON.stringify(path)
  writeFileSync(
    join(place, 'main.ts'),
    `import { start } from ${from(join(SOURCES, 'plugin', 'index.ts'))}\nimport { rounds } from ${from(ROUNDS)}\nawait start(rounds)\n`,
  )
  const storage = 'resource: { permission: { storage: { enabled: true, size: 1048576 } } }'
  writeFileSync(
    join(place, 'manifest.yaml'),
    `author: acme\nname: rounds\nversion: 0.0.1\n${storage}\nmeta: { runner: { language: node, entrypoint: main.ts } }\n`,
  )
  return place
}

async function pythonFolder({ folder }: Bench): Promise<string> {
  const place = join(folder, 'python')
  if (existsSync(place)) return place
  mkdirSync(place)
  await writePlugin(place, { name: 'rounds', parameters: ['rounds', 'key'] })
  return place
}

async function typescript(bench: Bench): Promise<Way> {
  return through('TypeScript, standard streams', 1_000, await bench.host.run(typescriptFolder(bench)))
}

async function python(bench: Bench): Promise<Way> {
  return through('Python SDK, standard streams', 1_000, await bench.host.run(await pythonFolder(bench), { python: PYTHON }))
}

async function typescriptOverTcp(bench: Bench): Promise<Way> {
  return through('TypeScript, TCP', 1_000, await remote(bench, [process.execPath, 'main.ts'], typescriptFolder(bench)))
}

async function pythonOverTcp(bench: Bench): Promise<Way> {
  return through('Python SDK, TCP', 1_000, await remote(bench, [PYTHON, '-m', 'main'], await pythonFolder(bench)))
}

async function remote(bench: Bench, argv: readonly string[], folder: string): Promise<DifyPlugin> {
  const { promise, resolve } = Promise.withResolvers<DifyPlugin>()
  const { address } = await bench.host.listen({ keys: [{ key: KEY }], onPlugin: resolve })
  start(bench, argv, folder, { INSTALL_METHOD: 'remote', REMOTE_INSTALL_URL: address, REMOTE_INSTALL_KEY: KEY })
  return promise
}

async function pythonOverHttp(bench: Bench): Promise<Way> {
  const place = (await bench.host.transactions()).reserve()
  const port = await freePort()
  const env = { SERVERLESS_HOST: '127.0.0.1', SERVERLESS_PORT: String(port), DIFY_PLUGIN_DAEMON_URL: place.daemonUrl }
  start(bench, [PYTHON, '-m', 'main'], await pythonFolder(bench), { INSTALL_METHOD: 'serverless', ...env })
  const url = `http://127.0.0.1:${port}`
  const isHealthy = (): Promise<boolean> =>
    fetch(`${url}/health`).then(
      ({ ok }) => ok,
      () => false,
    )
  while (!(await isHealthy())) await sleep(50)
  const tools = [{ identity: { name: 'rounds' }, tools: [{ identity: { name: 'rounds' } }] }]
  const manifest = { author: 'acme', name: 'rounds', resource: { permission: { storage: { enabled: true, size: 2 ** 20 } } } }
  return through('Python SDK, HTTP', 100, place.connect({ url, manifest, tools }))
}

function start({ children }: Bench, [command, ...args]: readonly string[], cwd: string, env: NodeJS.ProcessEnv): void {
  const { PATH } = process.env
  children.push(spawn(command!, args, { cwd, env: { PATH, ...env }, stdio: 'ignore' }))
}

if (import.meta.main) console.log(await dify())
