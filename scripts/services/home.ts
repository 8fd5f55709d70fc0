/** Where the services live, and what was started is noted: everything in one folder outside the repository. */
import { randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Target } from '../results.ts'
import type { ProcessId } from './process.ts'

/** A running service, as noted in `services.json`. What else it has (further URLs, credentials) stands beside these. */
export interface Service {
  readonly name: string
  /** With user and password, where there are any. */
  readonly url: string
  /** As people call it, e.g. `PostgreSQL`. */
  readonly engine: string
  readonly category: Target['category']
  /** Of the engine, as it says itself. */
  readonly version: string
  readonly processes: readonly ProcessId[]
  readonly [extra: string]: unknown
}

export type Services = Readonly<Record<string, Service>>

export function servicesHome(): string {
  return resolve(process.env['HOLDFAST_SERVICES_HOME'] || join(homedir(), '.cache', 'holdfast-services'))
}

/** What was started, whether or not it still runs; nothing where nothing was. */
export function readServices(home: string): Services {
  try {
    return JSON.parse(readFileSync(join(home, 'services.json'), 'utf8')) as Services
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw new Error(`${join(home, 'services.json')} cannot be read: remove it and run npm run services again`, { cause: error })
  }
}

/** Readers see the old text or the new one, never a part. It holds passwords, so it is the owner's alone. */
export function writeServices(home: string, services: Services): void {
  writePrivate(join(home, 'services.json'), `${JSON.stringify(services, undefined, 2)}\n`)
}

export function writePrivate(path: string, text: string): void {
  const part = `${path}.${randomUUID()}.part`
  writeFileSync(part, text, { mode: 0o600 })
  renameSync(part, path)
}

export function makeHome(home: string): string {
  for (const folder of ['data', 'logs']) mkdirSync(join(home, folder), { recursive: true })
  return home
}
