/** `holdfast state …`: keys and their values. */
import { readFile } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import { HoldfastError, openStore, type JsonValue, type StateStore } from '../../index.ts'
import { complain, EXIT, UsageError } from '../failure.ts'
import { asStored, settingsOf, type GlobalOptions } from '../globals.ts'
import { out, printable, printJson, writeTo } from '../terminal.ts'

type Work = (store: StateStore) => Promise<number | void>

async function withStore(options: GlobalOptions, work: Work): Promise<number> {
  await using store = await openStore('state', await settingsOf(options))
  return (await work(store)) ?? EXIT.ok
}

/** The same for what is about keys that are there already. */
async function withStored(options: GlobalOptions, work: Work): Promise<number> {
  await using store = await openStore('state', asStored(await settingsOf(options)))
  return (await work(store)) ?? EXIT.ok
}

export interface GetOptions extends GlobalOptions {
  readonly bytes?: boolean
  readonly json?: boolean
}

export function get(key: string, options: GetOptions): Promise<number> {
  if (options.bytes === true && options.json === true) throw new UsageError('--bytes and --json exclude each other')
  return withStored(options, async (store) => {
    if (options.bytes === true) return writeTo(process.stdout, existing(key, await store.getBytes(key)))
    const value = existing(key, await store.get(key))
    printJson(options.json === true ? { key, value, ttl: (await store.ttl(key)) ?? null } : value)
  })
}

function existing<T>(key: string, value: T | undefined): T {
  if (value !== undefined) return value
  throw new HoldfastError('NOT_FOUND', `there is no key ${JSON.stringify(key)}`)
}

export interface SetOptions extends GlobalOptions {
  readonly text?: boolean
  readonly file?: string
  readonly ttl?: number
}

export function set(key: string, value: string | undefined, options: SetOptions): Promise<number> {
  const { text, file, ttl } = options
  if ((value === undefined) === (file === undefined)) throw new UsageError('give the value, or the file that it is in')
  if (text === true && file !== undefined) throw new UsageError('--text and --file exclude each other')
  const parsed = value === undefined || text === true ? value : parse(value)
  return withStore(options, async (store) => {
    if (file === undefined) await store.set(key, parsed, { ttl })
    else await store.setBytes(key, await bytesOf(file), { ttl })
    out(`set ${printable(key)}\n`)
  })
}

function parse(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue
  } catch {
    throw new UsageError('the value is not JSON; --text takes it as it is')
  }
}

function bytesOf(file: string): Promise<Uint8Array> {
  return file === '-' ? buffer(process.stdin) : readFile(file)
}

export function keys(pattern: string, options: GlobalOptions & { readonly json?: boolean }): Promise<number> {
  return withStored(options, async (store) => {
    const items = await store.keys(pattern)
    if (options.json === true) printJson({ items })
    else for (const key of items) await writeTo(process.stdout, `${printable(key)}\n`)
  })
}

export function remove(names: readonly string[], options: GlobalOptions): Promise<number> {
  return withStored(options, async (store) => {
    let missing = 0
    for (const key of names) {
      if (await store.delete(key)) out(`deleted ${printable(key)}\n`)
      else {
        missing++
        complain('NOT_FOUND', `there is no key ${JSON.stringify(key)}`, 'Check the key and the workspace.')
      }
    }
    return missing === 0 ? EXIT.ok : EXIT.failure
  })
}
