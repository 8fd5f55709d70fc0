/** New, empty data for each conformance case, and nobody's data lost over it. */
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Harness } from '../../conformance/index.ts'
import { HoldfastError } from '../../index.ts'
import { UsageError } from '../failure.ts'
import type { AnyStore } from '../registered.ts'
import type { Candidate } from './conform-target.ts'

export interface HarnessOptions {
  readonly options?: string
  readonly clear?: boolean
}

export interface CliHarness extends AsyncDisposable {
  readonly harness: Harness<AnyStore>
}

const PLACEHOLDERS = /\{(dir|id)\}/g

/**
 * The module's own harness, or one over its factory: with `{dir}` or `{id}` in the options every case has data of its own, which can
 * be opened again. Without them the data must be empty, unless `clear` allows to delete it.
 */
export async function createHarness(candidate: Candidate, given: HarnessOptions): Promise<CliHarness> {
  if (candidate.harness !== undefined && given.options === undefined) {
    return { harness: candidate.harness, [Symbol.asyncDispose]: async () => undefined }
  }
  const template = given.options === undefined ? await defaultOptions(candidate) : parseOptions(given.options)
  const isOwn = JSON.stringify(template).search(PLACEHOLDERS) >= 0
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-conform-'))
  const used = new WeakMap<AnyStore, object>()
  const open = async (): Promise<AnyStore> => {
    const options = await fill(template, folder)
    const store = await candidate.open(options)
    used.set(store, options)
    if (!isOwn) await makeEmpty(store, given.clear === true)
    return store
  }
  // One that cannot be opened at all is one error, not one for each case.
  await (await open()).close()
  const reopen = (store: AnyStore): Promise<AnyStore> => candidate.open(used.get(store)!)
  return {
    harness: isOwn || given.clear === true ? { open, reopen } : { open },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true, maxRetries: 3 }),
  }
}

async function defaultOptions(candidate: Candidate): Promise<object> {
  return (await candidate.takesPath()) ? { path: '{dir}/data.db' } : {}
}

function parseOptions(json: string): object {
  try {
    const value: unknown = JSON.parse(json)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  } catch {
    // Said below: the parser's message would quote the options, which may hold secrets.
  }
  throw new UsageError('--options must be a JSON object, such as \'{"path":"{dir}/data.db"}\'')
}

/** The options of one case. */
async function fill(template: object, folder: string): Promise<object> {
  const id = randomBytes(8).toString('hex')
  const dir = join(folder, id)
  await mkdir(dir)
  const replace = (text: string): string => text.replace(PLACEHOLDERS, (_, name) => (name === 'dir' ? dir : `t${id}`))
  return JSON.parse(JSON.stringify(template), (_, value: unknown) =>
    typeof value === 'string' ? replace(value) : value,
  ) as object
}

async function makeEmpty(store: AnyStore, mayClear: boolean): Promise<void> {
  if (mayClear) await store.clear()
  if (await isEmpty(store)) return
  await store.close()
  const remedy = 'give each case data of its own with {dir} or {id} in --options, or let --clear delete everything that is there'
  throw new HoldfastError('CONFLICT', `the backend holds data, which the cases would mix with or delete: ${remedy}`)
}

async function isEmpty(store: AnyStore): Promise<boolean> {
  if (store.kind === 'conversation') return (await store.listSessions({ limit: 1 })).items.length === 0
  if (store.kind === 'knowledge') return (await store.listCollections()).length === 0
  return (await store.scan({ limit: 1 })).items.length === 0
}
