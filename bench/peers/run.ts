/**
 * `npm run bench -- --peers`: the embedded stores against what a user would pick instead from npm (and one from PyPI). Prints tables and
 * keeps the figures in `bench/results/peers-embedded.json`. `--peers conversation|kv|cold` runs a part, and keeps the rest of the file.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { coldStarts } from './cold.ts'
import { CONVERSATION_PEERS } from './conversation-contenders.ts'
import { checkConversation, CONVERSATION_QUESTIONS, seedConversation } from './conversation.ts'
import { ask, enter, reason, type Adapter, type Peer, type Question } from './frame.ts'
import { countFsyncs, hasStrace } from './fsyncs.ts'
import { KV_PEERS } from './kv-contenders.ts'
import { checkKv, KV_QUESTIONS, seedKv } from './kv.ts'
import { installPeers, python } from './peer-folder.ts'
import type { Comparison } from './result.ts'
import { groupTables } from './tables.ts'

/** The content of a file of results. */
interface Results {
  readonly date: string
  readonly machine: string
  readonly comparisons: readonly Comparison[]
}

const FILE = join(import.meta.dirname, '..', 'results', 'peers-embedded.json')

const PARTS: Readonly<Record<string, (folder: string) => Promise<Comparison[]>>> = {
  conversation: (folder) =>
    compareAll('conversation', folder, CONVERSATION_PEERS, CONVERSATION_QUESTIONS, async (api) => {
      await checkConversation(api)
      await seedConversation(api)
    }),
  kv: (folder) =>
    compareAll('kv', folder, KV_PEERS, KV_QUESTIONS, async (api) => {
      await checkKv(api)
      await seedKv(api)
    }),
  cold: async () => coldStarts(),
}

/** The tables of the parts named, or of all. */
export async function peers(names: readonly string[]): Promise<string> {
  const parts = Object.keys(PARTS).filter((part) => names.length === 0 || names.includes(part))
  const machine = `${cpus()[0]?.model ?? 'unknown CPU'} × ${cpus().length}, Node ${process.version}, SQLite ${process.versions.sqlite ?? '?'}, load ${loadavg()[0]!.toFixed(1)} at the beginning`
  install()
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-peers-'))
  try {
    const comparisons: Comparison[] = []
    for (const part of parts) comparisons.push(...(await PARTS[part]!(mkdtempSync(join(folder, part)))))
    keep({ date: new Date().toISOString().slice(0, 10), machine, comparisons })
    return `${groupTables(comparisons)}\n\n${machine}`
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** A contender that cannot be installed is told by name where it would have run. */
function install(): void {
  for (const step of [installPeers, python]) {
    try {
      step()
    } catch (error) {
      console.error(`not everything could be installed: ${reason(error)}`)
    }
  }
}

async function compareAll<Api extends Adapter>(
  group: 'conversation' | 'kv',
  folder: string,
  peers: readonly Peer<Api>[],
  questions: readonly Question<Api>[],
  prepare: (api: Api) => Promise<void>,
): Promise<Comparison[]> {
  const entrants = await enter(peers, folder, prepare)
  const comparisons: Comparison[] = []
  try {
    for (const question of questions) comparisons.push(await ask(group, question, entrants))
  } finally {
    for (const { api } of entrants) await api?.close()
  }
  return hasStrace() ? [...comparisons, countFsyncs(group, entrants, folder)] : comparisons
}

function keep(results: Results): void {
  const ids = new Set(results.comparisons.map(({ id }) => id))
  const before = existsSync(FILE) ? (JSON.parse(readFileSync(FILE, 'utf8')) as Results).comparisons : []
  const comparisons = [...before.filter(({ id }) => !ids.has(id)), ...results.comparisons]
  mkdirSync(join(FILE, '..'), { recursive: true })
  writeFileSync(FILE, `${JSON.stringify({ ...results, comparisons }, null, 2)}\n`)
}
