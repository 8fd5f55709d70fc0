/** Where a file-based backend keeps its data: the `url` and `path` options, in every spelling that is taken. */
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { HoldfastError } from '../errors.ts'

/** Nothing on disk: lives and dies with the store. */
export const IN_MEMORY = ':memory:'

/**
 * The absolute path (or `:memory:`) that `path` or `url` names: `rel.db`, `file:rel.db`, `sqlite:rel.db`, `sqlite:///abs/dir/x.db`,
 * `sqlite:////abs.db`, `file:///abs/x.db`, `:memory:`. Relative ones count from the working directory. Neither given: `fallback`.
 * Both given, or `sqlite:///x.db`, which other tools read as relative: `INVALID_OPTIONS`.
 */
export function fileLocation(
  options: { readonly path?: string | undefined; readonly url?: string | undefined },
  fallback: string,
  scheme = 'sqlite',
): string {
  if (options.path !== undefined && options.url !== undefined) {
    throw new HoldfastError('INVALID_OPTIONS', 'give `path` or `url`, not both')
  }
  const text = options.url ?? options.path ?? fallback
  if (text === '') throw new HoldfastError('INVALID_OPTIONS', 'the path is empty; `:memory:` keeps nothing on disk')
  if (text.includes('\0')) throw new HoldfastError('INVALID_OPTIONS', 'the path holds U+0000')
  if (text === IN_MEMORY || text === `${scheme}:${IN_MEMORY}` || text === `${scheme}://${IN_MEMORY}`) return IN_MEMORY
  if (text.startsWith('file://')) return fromFileUrl(text)
  if (text.startsWith('file:')) return resolve(text.slice('file:'.length))
  if (text.startsWith(`${scheme}://`)) return fromDoubleSlash(text, scheme)
  if (text.startsWith(`${scheme}:`)) return resolve(text.slice(scheme.length + 1))
  // A letter before the colon is a Windows drive; two or more are a scheme.
  if (/^[a-z][a-z0-9+.-]+:/i.test(text)) {
    throw new HoldfastError('INVALID_OPTIONS', `this backend takes a path, "file:…" or "${scheme}:…", not another kind of URL`)
  }
  return resolve(text)
}

function fromFileUrl(text: string): string {
  try {
    return fileURLToPath(text)
  } catch (cause) {
    throw new HoldfastError('INVALID_OPTIONS', `"${text}" is not a file URL of this machine`, { cause })
  }
}

function fromDoubleSlash(text: string, scheme: string): string {
  const rest = text.slice(scheme.length + 3)
  if (!rest.startsWith('/')) {
    throw new HoldfastError('INVALID_OPTIONS', `"${text}" has no host to name: write "${scheme}:${rest}" for a relative path`)
  }
  // Four slashes are absolute everywhere; three with a single name are relative for some tools and absolute for others.
  if (rest.startsWith('//')) return resolve(rest.slice(1))
  if (rest === '/' || !rest.slice(1).includes('/')) {
    const name = rest.slice(1)
    throw new HoldfastError(
      'INVALID_OPTIONS',
      `"${text}" means different files to different tools: write "${scheme}:${name}" for a relative path or "${scheme}:////${name}" for an absolute one`,
    )
  }
  return resolve(rest)
}
