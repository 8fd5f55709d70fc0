/** Key files: `{ "current": id, "keys": { id: base64 } }`. A key is never on the command line, where other users of the machine see it. */
import { readFile } from 'node:fs/promises'
import { generateKey, KeyRing, type KeyRingOptions } from '../../plugin-storage/index.ts'
import { Failure, UsageError } from '../failure.ts'
import type { GlobalOptions } from '../globals.ts'
import { out, printable } from '../terminal.ts'
import { toNewSecretFile } from '../whole-file.ts'

const VARIABLE = 'HOLDFAST_KEYS_FILE'
export const HOW_TO_GIVE_KEYS = `Name the file that holds its keys: --keys <file>, or ${VARIABLE}.`

/** The ring of the file that the option, else the environment, names; undefined where neither does. */
export async function keyRing(option: string | undefined): Promise<KeyRing | undefined> {
  if (option === '') throw new UsageError('--keys needs a value')
  const file = option ?? process.env[VARIABLE]
  return file === undefined || file === '' ? undefined : new KeyRing(await readKeyFile(file))
}

/** What is in the file is never quoted, so neither is what the parser says of it. */
async function readKeyFile(file: string): Promise<KeyRingOptions> {
  const parsed = parse(await readFile(file, 'utf8'))
  if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed as KeyRingOptions
  throw new Failure(
    'INVALID_OPTIONS',
    `${file}: it holds no JSON object`,
    'It must be { "current": id, "keys": { id: base64 } }; `holdfast storage keygen` prints a new one.',
  )
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export interface KeygenOptions extends GlobalOptions {
  readonly id?: string
  readonly rotate?: string
  readonly out: string
}

/** A new key file, or what an older one holds with a new key that is the current one. */
export async function keygen(options: KeygenOptions): Promise<number> {
  const old = options.rotate === undefined ? {} : await keysOf(options.rotate)
  const current = options.id ?? unusedId(old)
  if (Object.hasOwn(old, current)) {
    throw new Failure('CONFLICT', `there is a key ${JSON.stringify(current)} already`, 'Name another one with --id.')
  }
  const ring = { current, keys: { ...old, [current]: generateKey() } }
  // It refuses ids that could not be used.
  const { ids } = new KeyRing(ring)
  const json = `${JSON.stringify(ring, undefined, 2)}\n`
  if (options.out === '-') out(json)
  else {
    await toNewSecretFile(options.out, json)
    out(`wrote ${printable(options.out)}: ${current} is the current of ${ids.length === 1 ? '1 key' : `${ids.length} keys`}\n`)
  }
  return 0
}

async function keysOf(file: string): Promise<KeyRingOptions['keys']> {
  const options = await readKeyFile(file)
  const ring = new KeyRing(options)
  return Object.fromEntries(ring.ids.map((id) => [id, options.keys[id]!]))
}

/** The day, with a number where there was a key that day. */
function unusedId(keys: KeyRingOptions['keys']): string {
  const day = new Date().toISOString().slice(0, 10)
  for (let n = 1; ; n++) {
    const id = n === 1 ? day : `${day}.${n}`
    if (!Object.hasOwn(keys, id)) return id
  }
}
