/** What a URL or path says about the backend that it is for. */

const SQLITE_PATH = /\.(?:db|sqlite|sqlite3)$/i

/**
 * The scheme in lower case; `sqlite` for `:memory:` and for paths that end like SQLite files. Undefined for other text, which may be a
 * name or a path of anything.
 */
export function schemeOf(text: string): string | undefined {
  if (text === ':memory:') return 'sqlite'
  // One letter before the colon is a Windows drive.
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(text)?.[1]
  if (scheme !== undefined) return scheme.toLowerCase()
  return SQLITE_PATH.test(text) ? 'sqlite' : undefined
}
