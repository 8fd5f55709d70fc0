/** Where a file-based backend keeps its data: the `url` and `path` options, in every spelling that is taken. */
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { HoldfastError } from '../errors.ts'
import { redact } from './redact.ts'

/** Nothing on disk: lives and dies with the store. */
export const IN_MEMORY = ':memory:'

/**
 * The absolute path (or `:memory:`) that `path` or `url` names: `rel.db`, `file:rel.db`, `sqlite:rel.db`, `sqlite:///abs/dir/x.db`,
 * `sqlite:////abs.db`, `file:///abs/x.db`, `:memory:`. Relative ones count from the working directory. Neither given: `fallback`.
 * Both given, parameters behind a `?`, or `sqlite:///x.db`, which other tools read as relative: `INVALID_OPTIONS`.
 */
export function fileLocation(
  options: { readonly path?: string | undefined; readonly url?: string | undefined },
  fallback: string,
  scheme = 'sqlite',
): string {
  if (options.path !== undefined && options.url !== undefined) throw refused('give `path` or `url`, not both')
  const text = options.url ?? options.path ?? fallback
  if (text.includes('\0')) throw refused('the path holds U+0000')
  const found = /^([a-z][a-z0-9+.-]+):(.*)$/is.exec(text)
  // One letter before the colon is a Windows drive; two or more are a scheme.
  if (found === null) return toPath(text)
  const given = found[1]!.toLowerCase()
  const rest = found[2]!
  if (given !== 'file' && given !== scheme) {
    throw refused(`this backend takes a path, "file:…" or "${scheme}:…", not another kind of URL`)
  }
  if (/[?#]/.test(rest))
    throw refused(`"${redact(text)}" has parameters or a fragment; give them as options, or the file as \`path\``)
  if (!rest.startsWith('//')) return toPath(rest)
  return given === 'file' ? fromFileUrl(text) : fromDoubleSlash(text, rest.slice(2), scheme)
}

function toPath(path: string): string {
  if (path === '') throw refused('the path is empty; `:memory:` keeps nothing on disk')
  return path === IN_MEMORY ? IN_MEMORY : resolve(path)
}

function fromFileUrl(text: string): string {
  try {
    return fileURLToPath(text)
  } catch {
    // The original error carries the whole URL, which may hold a password.
    throw refused(`"${redact(text)}" is not a file URL of this machine`)
  }
}

function fromDoubleSlash(text: string, rest: string, scheme: string): string {
  if (rest === IN_MEMORY || rest === `/${IN_MEMORY}`) return IN_MEMORY
  if (rest === '' || rest === '/') return toPath('')
  if (!rest.startsWith('/')) {
    throw refused(`"${redact(text)}" names a host, and a file has none: a relative path is written "${scheme}:dir/file.db"`)
  }
  // Four slashes are absolute everywhere; three with a single name are relative for some tools and absolute for others.
  if (rest.startsWith('//')) return toPath(rest.slice(1))
  const name = rest.slice(1)
  if (name.includes('/')) return toPath(rest)
  throw refused(
    `"${text}" means different files to different tools: write "${scheme}:${name}" for a relative path or "${scheme}:////${name}" for an absolute one`,
  )
}

function refused(message: string): HoldfastError {
  return new HoldfastError('INVALID_OPTIONS', message)
}
