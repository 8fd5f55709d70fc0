/** The config file of an application: where it is, and what it says. */
import { lstat, readFile } from 'node:fs/promises'
import { extname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { HoldfastError } from './errors.ts'
import { safeCause } from './registry/secrets.ts'
import { parseExactly } from './store/parse.ts'
import { redact } from './store/redact.ts'

/** The first that is there counts. */
const FILE_NAMES = ['ts', 'js', 'mjs', 'json'].map((ending) => `holdfast.config.${ending}`)

/** The file that is named, or the one in `root` that has a usual name; absolute. A named one that is missing: `NOT_FOUND`. */
export async function findConfig(root: string, named: string | undefined): Promise<string | undefined> {
  if (named !== undefined) {
    const file = resolve(root, named)
    if (await isThere(file)) return file
    throw new HoldfastError('NOT_FOUND', `there is no config file ${redact(file)}`)
  }
  const files = FILE_NAMES.map((name) => join(root, name))
  const there = await Promise.all(files.map(isThere))
  return files.find((_, i) => there[i])
}

/** What the file says, unchecked: JSON, or a module's default export, which may be a promise of it. */
export async function loadConfig(file: string): Promise<unknown> {
  try {
    if (isTextFile(file)) return await readJson(file)
    const module = (await import(pathToFileURL(file).href)) as { default?: unknown }
    // Awaited here, so that a promise that fails is an unreadable file like any other.
    return await module.default
  } catch (error) {
    throw unreadable(file, error)
  }
}

/** True for JSON; other files are modules. */
export function isTextFile(file: string): boolean {
  return extname(file).toLowerCase() === '.json'
}

/** Only what is certainly not there counts as missing: a broken link, or a folder that may not be searched, is a mistake to be told. */
async function isThere(file: string): Promise<boolean> {
  try {
    await lstat(file)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return false
    throw unreadable(file, error)
  }
}

/** Editors on Windows begin files with a byte order mark. */
async function readJson(file: string): Promise<unknown> {
  return parseExactly((await readFile(file, 'utf8')).replace(/^\uFEFF/, ''))
}

function unreadable(file: string, error: unknown): HoldfastError {
  const message = error instanceof Error ? error.message : String(error)
  // A syntax error quotes the text around it, which may be a password; only its place is shown.
  if (error instanceof SyntaxError) {
    return new HoldfastError('INVALID_OPTIONS', `${file} cannot be read: it has a syntax error${placeOf(file, error)}`)
  }
  return new HoldfastError('INVALID_OPTIONS', `${redact(file)} cannot be read: ${redact(message)}`, {
    cause: safeCause(error, []),
  })
}

/** JSON's errors tell their place in the message, those of modules, where at all, in the first line of the stack. */
function placeOf(file: string, { message, stack = '' }: SyntaxError): string {
  const json = /\(line (\d+) column \d+\)$/.exec(message)?.[1]
  const module = stack.startsWith(`${file}:`) ? /^\d+/.exec(stack.slice(file.length + 1))?.[0] : undefined
  const line = json ?? module
  return line === undefined ? '' : ` in line ${line}`
}
