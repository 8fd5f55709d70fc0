/** Listings of workspaces, and of other names: their arguments, their pages, and how the listings of several stores become one. */
import type { Page, WorkspaceQuery, WorkspaceRecordQuery } from './contract.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import { checkInteger, checkText, compareBytes } from './text.ts'

/** The same for every kind of store, so that one cursor serves them all. */
const CURSOR_TAG = 'workspaces'

export function checkWorkspaceQuery({ limit, cursor }: WorkspaceQuery): WorkspaceRecordQuery {
  const after = cursor === undefined ? undefined : decodeCursor(CURSOR_TAG, cursor, ['string'])[0]
  if (after !== undefined) checkText(after, 'cursor')
  return { after, limit: checkInteger(limit, 'limit', { min: 1, max: 1_000 }, 100) }
}

/** The names that a backend in memory or in files lists, of all those that it knows; `counts` is asked for no more than it takes. */
export function selectNames(
  names: Iterable<string>,
  { prefix = '', after, limit }: WorkspaceRecordQuery & { readonly prefix?: string },
  counts: (name: string) => boolean,
): string[] {
  return [...names]
    .filter((name) => name.startsWith(prefix) && (after === undefined || compareBytes(name, after) > 0))
    .toSorted(compareBytes)
    .values()
    .filter(counts)
    .take(limit)
    .toArray()
}

/** The first `limit` of the names found, with a cursor where more follow. */
export function workspacePage(found: readonly string[], limit: number, more = found.length > limit): Page<string> {
  const items = found.slice(0, limit)
  return more ? { items, cursor: encodeCursor(CURSOR_TAG, [items.at(-1)!]) } : { items }
}

/** One page of the workspaces of several stores. */
export async function mergedWorkspaces(
  list: (query: WorkspaceQuery) => Promise<readonly Page<string>[]>,
  query: WorkspaceQuery,
): Promise<Page<string>> {
  const { limit } = checkWorkspaceQuery(query)
  const pages = await list(query)
  const names = [...new Set(pages.flatMap(({ items }) => items))].toSorted(compareBytes)
  // Each page holds its store's first names behind the cursor, so the first of all are among them.
  return workspacePage(names, limit, names.length > limit || pages.some(({ cursor }) => cursor !== undefined))
}
