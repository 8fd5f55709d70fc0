/** Counts what calls cost, in a process of its own. All of it is the same on a quick machine and on a busy one. */
import { Session, type Profiler } from 'node:inspector/promises'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { getHeapStatistics } from 'node:v8'
import type { Counts } from './compare.ts'
import type { HotPath } from './hot-paths.ts'
import { mark, written } from './io.ts'
import { statementsRun, watchCalls } from './statements.ts'

const CALLS = 50
const SOURCES = pathToFileURL(join(import.meta.dirname, '..', '..', 'src')).href

let sends = 0
let sentBytes = 0

/** Makes time and chance the same for every run, and has what goes over sockets counted. */
export function prepareToCount(): void {
  let seed = 1
  Math.random = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647
  // Group commit ends a transaction early where time passes; here none does.
  performance.now = () => 0
  watchCalls(Socket.prototype, 'write', ([chunk]) => {
    sends++
    sentBytes += typeof chunk === 'string' ? Buffer.byteLength(chunk) : (chunk as Uint8Array).byteLength
  })
}

let turn = 0

async function repeat({ run }: HotPath, calls: number): Promise<void> {
  for (let i = 0; i < calls; i++) await run(turn++)
}

/** What one call costs, on average. */
export async function countCalls(path: HotPath): Promise<Counts> {
  const calls = path.calls ?? CALLS
  await repeat(path, calls)
  const before = sample()
  const allocated = await allocatedBy(path, calls)
  const after = sample()
  const total = { blocks: await blocksOf(path, calls), ...differences(before, after) }
  const each = Object.fromEntries(Object.entries(total).map(([what, count]) => [what, rounded(count / calls)]))
  return { ...each, allocatedBytes: rounded(allocated) }
}

function sample(): Counts {
  return { statements: statementsRun(), sends, sentBytes, ...written() }
}

function differences(before: Counts, after: Counts): Counts {
  return Object.fromEntries(Object.entries(after).map(([what, count]) => [what, count - before[what]!]))
}

function rounded(count: number): number {
  return Math.round(count * 100) / 100
}

const PARTS = 5

/** Bytes a call: the median of some parts, since a collection that comes by itself, which is rare, empties the heap behind one of them. */
async function allocatedBy(path: HotPath, calls: number): Promise<number> {
  const parts: number[] = []
  for (let part = 0; part < PARTS; part++) {
    globalThis.gc!()
    const before = getHeapStatistics().used_heap_size
    await repeat(path, calls / PARTS)
    parts.push((getHeapStatistics().used_heap_size - before) / (calls / PARTS))
  }
  return parts.toSorted((a, b) => a - b)[Math.floor(PARTS / 2)]!
}

/** How often a block of our own code (a function, a branch, the body of a loop) is entered. */
async function blocksOf(path: HotPath, calls: number): Promise<number> {
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  await repeat(path, calls)
  await session.post('Profiler.takePreciseCoverage')
  await repeat(path, calls)
  const { result } = await session.post('Profiler.takePreciseCoverage')
  session.disconnect()
  return result.filter(({ url }) => url.startsWith(SOURCES)).reduce((sum, script) => sum + entered(script), 0)
}

function entered({ functions }: Profiler.ScriptCoverage): number {
  return functions.flatMap(({ ranges }) => ranges).reduce((sum, { count }) => sum + count, 0)
}

/** Calls a path between two marks, and says how often. */
export async function markCalls(path: HotPath): Promise<number> {
  const calls = path.calls ?? CALLS
  await repeat(path, calls)
  mark(path.name, 'begin')
  await repeat(path, calls)
  mark(path.name, 'end')
  return calls
}
