/** `holdfast storage ls|get|set|rm`: the keys and values of one plugin. */
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { complain, EXIT, UsageError } from '../failure.ts'
import { out, printable, printableLines, writeTo } from '../terminal.ts'
import { toFile } from '../whole-file.ts'
import { printItems } from './items.ts'
import { missing, withScope, type StorageOptions } from './open.ts'

export interface ListOptions extends StorageOptions {
  readonly prefix: string
  readonly json?: boolean
}

export function ls(plugin: string, options: ListOptions): Promise<number> {
  return withScope(plugin, options, async ({ storage }) => {
    const keys = storage.scanPrefix(options.prefix)
    if (options.json === true) return printItems(keys)
    for await (const key of keys) await writeTo(process.stdout, `${printable(key)}\n`)
  })
}

export interface GetOptions extends StorageOptions {
  readonly out?: string
}

/** Bytes as they are, but nothing to a terminal that could have power over it, unless `-` asks for just that. */
export function get(plugin: string, key: string, options: GetOptions): Promise<number> {
  return withScope(plugin, options, async ({ storage }) => {
    if (!(await storage.exist(key))) throw missing(key)
    const value = storage.createReadStream(key)
    const file = options.out
    if (file !== undefined && file !== '-') {
      await toFile(file, async (write) => {
        for await (const piece of value) await write(piece as Uint8Array)
      })
      return out(`wrote ${printable(file)}\n`)
    }
    if (file === undefined && process.stdout.isTTY) return showText(value, (text) => writeTo(process.stdout, text))
    for await (const piece of value) await writeTo(process.stdout, piece as Uint8Array)
  })
}

/** Lines stay lines; everything else that is not to be seen is escaped. */
export async function showText(pieces: AsyncIterable<Uint8Array>, write: (text: string) => Promise<void>): Promise<void> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let last = '\n'
  const show = async (text: string): Promise<void> => {
    if (text === '') return
    await write(printableLines(text).join('\n'))
    last = text.at(-1)!
  }
  for await (const piece of pieces) await show(textOf(() => decoder.decode(piece, { stream: true })))
  await show(textOf(() => decoder.decode()))
  if (last !== '\n') await write('\n')
}

function textOf(decode: () => string): string {
  try {
    return decode()
  } catch {
    throw new UsageError('the value is no text: --out <file> writes it to a file, --out - shows it as it is')
  }
}

export interface SetOptions extends StorageOptions {
  readonly file?: string
  readonly ttl?: number
}

/** Files and standard input go through in pieces, whatever their size; what was there before stays until the last one has come. */
export function set(plugin: string, key: string, value: string | undefined, options: SetOptions): Promise<number> {
  const { file = value === '-' ? '-' : undefined, ttl } = options
  if ((value === undefined) === (options.file === undefined)) throw new UsageError('give the value, or the file that it is in')
  return withScope(
    plugin,
    options,
    async ({ storage }) => {
      if (file === undefined) await storage.setText(key, value!, { ttl })
      else await pipeline(file === '-' ? process.stdin : createReadStream(file), storage.createWriteStream(key, { ttl }))
      out(`set ${printable(key)}\n`)
    },
    (settings) => settings,
  )
}

/** Deletes what is there, and says which keys are not. */
export function rm(plugin: string, keys: readonly string[], options: StorageOptions): Promise<number> {
  return withScope(plugin, options, async ({ storage }) => {
    let absent = 0
    for (const key of keys) {
      if (await storage.delete(key)) out(`deleted ${printable(key)}\n`)
      else {
        absent++
        complain('NOT_FOUND', missing(key).message, 'Check the key, the plugin and the workspace.')
      }
    }
    return absent === 0 ? EXIT.ok : EXIT.failure
  })
}
