/** What a section's last run yielded, and under which conditions: kept in `bench/results`, one file a section. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, totalmem, type as systemName, release } from 'node:os'
import { join } from 'node:path'
import type { Comparison } from '../peers/result.ts'

export interface Moment {
  /** ISO 8601, to the second. */
  readonly at: string
  /** Load average of the last minute: what else ran, and at the end the bench itself. */
  readonly load?: number
}

export interface Recorded {
  readonly machine: string
  readonly node: string
  readonly sqlite: string
  readonly began: Moment
  readonly ended: Moment
  /** Tables of plain text, line by line. */
  readonly lines?: readonly string[]
  readonly comparisons?: readonly Comparison[]
}

/** A section that yields a text gives tables; one that yields comparisons gives tables and charts. */
export type Outcome = string | readonly Comparison[]

export const RESULTS = join(import.meta.dirname, '..', 'results')

/** Does the work and notes the conditions; the caller writes it down. */
export async function observe(work: () => Promise<Outcome>): Promise<Recorded> {
  const began = moment()
  const outcome = await work()
  const found = typeof outcome === 'string' ? { lines: outcome.split('\n') } : { comparisons: outcome }
  return { machine: machine(), node: process.version, sqlite: process.versions.sqlite ?? '?', began, ended: moment(), ...found }
}

export function writeRecorded(name: string, recorded: Recorded, folder = RESULTS): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(recorded, undefined, 2)}\n`)
}

/** Undefined for what was never run. */
export function readRecorded(name: string, folder = RESULTS): Recorded | undefined {
  const file = join(folder, `${name}.json`)
  return existsSync(file) ? whole(JSON.parse(readFileSync(file, 'utf8')) as Partial<Recorded> & { date?: string }) : undefined
}

/** A part that keeps its own file while it runs notes no more than its date and machine there. */
function whole({ date = '1970-01-01', ...found }: Partial<Recorded> & { date?: string }): Recorded {
  const at = { at: `${date}T00:00:00Z` }
  return { machine: '', node: '', sqlite: '', began: at, ended: at, ...found }
}

function moment(): Moment {
  return { at: `${new Date().toISOString().slice(0, 19)}Z`, load: Math.round(loadavg()[0]! * 10) / 10 }
}

function machine(): string {
  const memory = `${Math.round(totalmem() / 2 ** 30)} GB`
  return `${cpus()[0]?.model.trim() ?? 'unknown CPU'} × ${cpus().length}, ${memory}, ${systemName()} ${release()}`
}
