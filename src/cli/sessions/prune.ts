/** `holdfast sessions prune`: retention, by hand or from a timer. */
import type { ConversationStore } from '../../index.ts'
import type { GlobalOptions } from '../globals.ts'
import { out, plural, printJson } from '../terminal.ts'
import { withStored } from './commands.ts'

export interface PruneOptions extends GlobalOptions {
  /** Milliseconds. */
  readonly olderThan: number
  readonly user?: string
  readonly dryRun?: boolean
  readonly json?: boolean
}

export function prune({ olderThan: age, user: userId, dryRun, json, ...options }: PruneOptions): Promise<number> {
  const olderThan = new Date(Date.now() - age)
  return withStored(options, async (store) => {
    if (dryRun === true) {
      const sessions = await countOlder(store, olderThan, userId)
      if (json === true) printJson({ dryRun, olderThan, sessions })
      else out(`would delete ${plural(sessions, 'session')}\n`)
      return
    }
    const deleted = await store.pruneSessions({ olderThan, userId })
    if (json === true) printJson({ dryRun: false, olderThan, ...deleted })
    else out(`deleted ${plural(deleted.sessions, 'session')} with ${plural(deleted.messages, 'message')}\n`)
  })
}

async function countOlder(store: ConversationStore, olderThan: Date, userId: string | undefined): Promise<number> {
  let count = 0
  let cursor: string | undefined
  do {
    const page = await store.listSessions({ userId, order: 'asc', limit: 1_000, cursor })
    const older = page.items.filter(({ updatedAt }) => updatedAt < olderThan).length
    count += older
    cursor = older < page.items.length ? undefined : page.cursor
  } while (cursor !== undefined)
  return count
}
