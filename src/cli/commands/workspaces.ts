/** `holdfast workspaces …`: the tenants of all three stores, and of plugins. */
import { openPersistence, openStore, type Persistence } from '../../index.ts'
import { PluginHost } from '../../plugin-storage/index.ts'
import { EXIT, UsageError } from '../failure.ts'
import { asStored, settingsOf, type GlobalOptions } from '../globals.ts'
import { out, plural, printable, printJson } from '../terminal.ts'

interface WorkspaceOptions extends GlobalOptions {
  readonly json?: boolean
}

/** Works on what is stored already, and makes no files. */
async function withStored(options: GlobalOptions, work: (db: Persistence) => Promise<void>): Promise<number> {
  const settings = asStored(await settingsOf(options))
  await using conversation = await openStore('conversation', settings)
  await using knowledge = await openStore('knowledge', settings)
  await using state = await openStore('state', settings)
  await using db = await openPersistence({ conversation, knowledge, state, config: false })
  await work(db)
  return EXIT.ok
}

export function list(options: WorkspaceOptions): Promise<number> {
  return withStored(options, async (db) => {
    const items: string[] = []
    for await (const names of merged(pages(db), await workspacesOfPlugins(db))) {
      if (options.json === true) items.push(...names)
      else out(names.map((name) => `${shown(name)}\n`).join(''))
    }
    if (options.json === true) printJson({ items })
  })
}

async function* pages(db: Persistence): AsyncGenerator<readonly string[], void> {
  let cursor: string | undefined
  do {
    const page = await db.listWorkspaces({ limit: 1_000, cursor })
    yield page.items
    cursor = page.cursor
  } while (cursor !== undefined)
}

/** Where a plugin has stored something, sorted. The stores do not list what is in the spaces of plugins. */
async function workspacesOfPlugins({ state }: Persistence): Promise<string[]> {
  const found = new Set<string>()
  for await (const { workspaceId } of new PluginHost({ state }).scopes()) found.add(workspaceId)
  return [...found].toSorted(bytewise)
}

/** Both are sorted; a name that is in both comes once. */
async function* merged(
  pages: AsyncIterable<readonly string[]>,
  others: readonly string[],
): AsyncGenerator<readonly string[], void> {
  let left = others
  for await (const names of pages) {
    const last = names.at(-1)
    const behind = last === undefined ? 0 : left.findIndex((other) => bytewise(other, last) > 0)
    const before = behind < 0 ? left : left.slice(0, behind)
    yield [...new Set([...names, ...before])].toSorted(bytewise)
    left = left.slice(before.length)
  }
  yield left
}

function bytewise(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

export function remove(id: string, options: WorkspaceOptions & { readonly yes?: boolean }): Promise<number> {
  if (options.yes !== true) throw new UsageError(`this deletes everything in the workspace ${shown(id)}; give --yes to do it`)
  return withStored(options, async (db) => {
    const { documents, ...removed } = await db.deleteWorkspace(id)
    if (options.json === true) return printJson({ ...removed, documents: documents ?? null })
    const { sessions, messages, collections, keys, pluginScopes } = removed
    const counts = [
      plural(sessions, 'session'),
      plural(messages, 'message'),
      plural(collections, 'collection'),
      documents === undefined ? 'documents without a count' : plural(documents, 'document'),
      plural(keys, 'key'),
      plural(pluginScopes, 'plugin storage'),
    ]
    out(`deleted ${shown(id)}: ${counts.join(', ')}\n`)
  })
}

function shown(name: string): string {
  return name === '' ? '(unnamed)' : printable(name)
}
