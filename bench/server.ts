/**
 * `npm run bench -- --server`: plugin storage over HTTP, 1 KiB values at 64 connections, against a bare hono handler that moves the same
 * bytes. The servers and the load are processes of their own, and take turns. `HOLDFAST_SOAK=10` adds that many minutes of load, over which
 * memory is looked at.
 */
import { fork, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { openPersistence } from '../src/index.ts'
import { Tokens } from '../src/server/index.ts'
import { table } from './measure.ts'
import type { Load, Loaded } from './server/load.ts'

const root = join(import.meta.dirname, '..')
const CLI = join(root, 'dist', 'cli', 'main.js')
const CONNECTIONS = 64
const KEYS = 100
const ROUNDS = 5
const ROUND_MS = 2_000
const SOAK_MINUTES = Number(process.env['HOLDFAST_SOAK'] ?? '0')
const STARTS = 10
const VALUE = 'v'.repeat(1_024)

export async function server(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  const load = fork(join(import.meta.dirname, 'server', 'load.ts'))
  const running: Running[] = []
  try {
    running.push(await start('bare hono', [join(import.meta.dirname, 'server', 'bare.ts')]))
    running.push(
      await start('in memory', serving(folder, ['--conversation', 'memory', '--knowledge', 'memory', '--state', 'memory'])),
    )
    running.push(await start('embedded, by token', serving(folder, []), await tokenIn(folder)))
    const text = [await compared(running, load), await starts(folder)]
    if (SOAK_MINUTES > 0) text.push(await soak(running.at(-1)!, load))
    return text.join('\n\n')
  } finally {
    load.kill()
    for (const { child } of running) await ended(child)
    rmSync(folder, { recursive: true, force: true })
  }
}

function serving(folder: string, more: readonly string[]): string[] {
  return [CLI, 'serve', '--port', '0', '--dir', join(folder, 'data'), ...more]
}

async function tokenIn(folder: string): Promise<string> {
  await using db = await openPersistence({ config: false, dir: join(folder, 'data') })
  return (await new Tokens(db.state).create({ name: 'bench', workspaces: ['w'], plugins: '*', write: true })).token
}

interface Running {
  readonly name: string
  readonly child: ChildProcess
  readonly port: number
  readonly token: string | undefined
}

async function start(name: string, args: readonly string[], token?: string): Promise<Running> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  for await (const line of createInterface({ input: child.stdout })) {
    const port = /http:\/\/127\.0\.0\.1:(\d+)/.exec(line)?.[1]
    if (port !== undefined) return { name, child, port: Number(port), token }
  }
  throw new Error(`${name} did not start`)
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGTERM')
  await exit
}

/** Every server in turn, round by round, so that a slow moment of the machine meets all of them. */
async function compared(running: readonly Running[], load: ChildProcess): Promise<string> {
  const lines: string[][] = []
  for (const method of ['PUT', 'GET'] as const) {
    const rounds = new Map(running.map(({ name }): [string, Loaded[]] => [name, []]))
    for (let round = -1; round < ROUNDS; round++) {
      for (const each of running) {
        const loaded = await ask(load, { ...about(each), ms: ROUND_MS, requests: requests(method, each) })
        if (round >= 0) rounds.get(each.name)!.push(loaded)
      }
    }
    const [bare] = rounds.values().map((each) => median(each, 'perSecond'))
    for (const [name, each] of rounds) {
      const perSecond = median(each, 'perSecond')
      const times = (['p50', 'p99'] as const).map((share) => median(each, share).toFixed(1))
      lines.push([`${method === 'GET' ? 'get' : 'set'}, ${name}`, perSecond.toFixed(0), (perSecond / bare!).toFixed(2), ...times])
    }
  }
  return table([`1 KiB over HTTP, ${CONNECTIONS} connections`, 'requests/s', 'ratio', 'p50 ms', 'p99 ms'], lines)
}

function about({ port }: Running): { readonly port: number; readonly connections: number } {
  return { port, connections: CONNECTIONS }
}

function requests(method: 'GET' | 'PUT', { port, token }: Running): string[] {
  const auth = token === undefined ? '' : `authorization: Bearer ${token}\r\n`
  const body = method === 'PUT' ? [`content-length: ${VALUE.length}\r\n`, VALUE] : ['', '']
  return Array.from({ length: KEYS }, (_, i) => {
    const target = `/v1/storage/value?workspace=w&plugin=acme/notes&key=key-${i}`
    return `${method} ${target} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n${auth}${body[0]}\r\n${body[1]}`
  })
}

async function ask(load: ChildProcess, asked: Load): Promise<Loaded> {
  load.send(asked)
  const [answer] = (await once(load, 'message')) as [Loaded | { readonly error: string }]
  if ('error' in answer) throw new Error(answer.error)
  return answer
}

/** From the start of the process to the line that says that it listens. */
async function starts(folder: string): Promise<string> {
  const times: number[] = []
  for (let i = 0; i < STARTS; i++) {
    const began = performance.now()
    const { child } = await start('start', serving(folder, []))
    times.push(performance.now() - began)
    await ended(child)
  }
  return `holdfast serve listens after ${times.toSorted((a, b) => a - b)[STARTS >> 1]!.toFixed(0)} ms`
}

/** Three reads to a write; memory is the median of a minute's samples. */
async function soak(running: Running, load: ChildProcess): Promise<string> {
  const mixed = [
    ...requests('GET', running),
    ...requests('GET', running),
    ...requests('GET', running),
    ...requests('PUT', running),
  ]
  const minutes: number[] = []
  let total = 0
  for (let minute = 0; minute < SOAK_MINUTES; minute++) {
    const samples: number[] = []
    const sampling = setInterval(() => samples.push(residentMiB(running.child)), 1_000)
    total += (await ask(load, { ...about(running), ms: 60_000, requests: shuffled(mixed) })).perSecond * 60
    clearInterval(sampling)
    minutes.push(samples.toSorted((a, b) => a - b)[samples.length >> 1]!)
  }
  const shown = minutes.map((mib) => mib.toFixed(0)).join(' ')
  return `memory over ${SOAK_MINUTES} minutes and ${total.toFixed(0)} requests, MiB resident by the minute: ${shown}`
}

function shuffled(texts: readonly string[]): string[] {
  return texts.map((_, i) => texts[(i * 7_919) % texts.length]!)
}

/** Where there is no /proc, nothing is known. */
function residentMiB({ pid }: ChildProcess): number {
  const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib ?? Number.NaN) / 1_024
}

function median(all: readonly Loaded[], figure: keyof Loaded): number {
  return all.map((loaded) => loaded[figure]).toSorted((a, b) => a - b)[all.length >> 1]!
}

if (import.meta.main) console.log(await server())
