/** `holdfast sessions …`: the conversations that are stored, seen from outside. */
import {
  HoldfastError,
  openStore,
  type ConversationStore,
  type Message,
  type ResolvedSettings,
  type Session,
} from '../../index.ts'
import { complain, EXIT, UsageError } from '../failure.ts'
import { asStored, describeStore, settingsOf, type GlobalOptions } from '../globals.ts'
import { clip, out, plural, printable, printableLines, printJson, styled, table } from '../terminal.ts'
import { existing, exportSessions } from './export.ts'
import { importSessions, type ImportResult, type Problem } from './import.ts'
import { line } from './jsonl.ts'

type Work = (store: ConversationStore, settings: ResolvedSettings) => Promise<number | void>

/** Opens the conversation store alone, and closes it whatever happens. */
async function withStore(options: GlobalOptions, work: Work): Promise<number> {
  return run(await settingsOf(options), work)
}

/** The same for what needs sessions that are there already. */
export async function withStored(options: GlobalOptions, work: Work): Promise<number> {
  const settings = await settingsOf(options)
  return run(settings, work, asStored(settings))
}

async function run(settings: ResolvedSettings, work: Work, opened = settings): Promise<number> {
  await using store = await openStore('conversation', opened)
  return (await work(store, settings)) ?? EXIT.ok
}

export interface ListOptions extends GlobalOptions {
  readonly user?: string
  readonly agent?: string
  readonly limit: number
  readonly cursor?: string
  readonly json?: boolean
}

export function list(options: ListOptions): Promise<number> {
  return withStored(options, async (store, settings) => {
    const { user: userId, agent: agentId, limit, cursor, json } = options
    const page = await store.listSessions({ userId, agentId, limit, cursor })
    if (json === true) return printItems(page.items, page.cursor)
    if (page.items.length === 0) return out(`No sessions in ${printable(describeStore(settings.stores.conversation))}.\n`)
    out(table([['ID', 'LAST', 'UPDATED', 'USER', 'NAME'], ...page.items.map(sessionRow)]))
    if (page.cursor !== undefined) out(styled('dim', `More: --cursor ${page.cursor}\n`))
  })
}

function sessionRow({ id, lastSeq, updatedAt, userId = '', name = '' }: Session): string[] {
  return [printable(id), String(lastSeq), shortTime(updatedAt), clip(printable(userId), 24), clip(printable(name), 48)]
}

export interface ShowOptions extends GlobalOptions {
  readonly limit: number
  readonly before?: number
  readonly after?: number
  readonly json?: boolean
}

export function show(id: string, options: ShowOptions): Promise<number> {
  return withStored(options, async (store) => {
    const session = await existing(store, id)
    const { limit, before, after } = options
    const messages = await store.getMessages(id, { limit, before, after })
    if (options.json === true) return out(`{"session":${line(session)},"messages":[${messages.map(line).join(',\n')}]}\n`)
    printSession(session, messages)
  })
}

function printSession(session: Session, messages: readonly Message[]): void {
  const { id, name, userId, agentId, lastSeq, version, createdAt, updatedAt, state, metadata } = session
  const optional = { name, user: userId, agent: agentId, state: jsonUnlessEmpty(state), metadata: jsonUnlessEmpty(metadata) }
  out(`${styled('bold', printable(id))}\n`)
  for (const [label, value] of Object.entries(optional)) if (value !== undefined) out(`  ${label}: ${printable(value)}\n`)
  out(`  created ${shortTime(createdAt)}, updated ${shortTime(updatedAt)}, version ${version}, last message ${lastSeq}\n`)
  for (const message of messages) printMessage(message)
  const shown = messages.length === 1 ? `message ${messages[0]!.seq}` : `messages ${messages[0]?.seq}–${messages.at(-1)?.seq}`
  if (messages.length > 0) out(styled('dim', `\n${shown} of ${lastSeq}; --before, --after and --limit show others\n`))
}

function printMessage({ seq, role, content, createdAt, parts, toolCalls, toolCallId, metadata }: Message): void {
  out(`\n${styled('cyan', `#${seq} ${printable(role)}`)} ${styled('dim', shortTime(createdAt))}\n`)
  for (const text of content === null ? [] : printableLines(content)) out(`  ${text}\n`)
  for (const [label, value] of Object.entries({ parts, toolCalls, toolCallId, metadata })) {
    if (value !== undefined) out(`  ${styled('dim', `${label}: ${clip(printable(JSON.stringify(value)), 200)}`)}\n`)
  }
}

export interface SearchOptions extends GlobalOptions {
  readonly user?: string
  readonly session?: string
  readonly limit: number
  readonly json?: boolean
}

export function search(words: readonly string[], options: SearchOptions): Promise<number> {
  return withStored(options, async (store) => {
    const { user: userId, session: sessionId, limit } = options
    const messages = await store.searchMessages({ text: words.join(' '), userId, sessionId, limit })
    if (options.json === true) return printItems(messages)
    if (messages.length === 0) return out('No messages.\n')
    const rows = messages.map(({ sessionId, seq, role, content }) => [
      `${printable(sessionId)} #${seq}`,
      printable(role),
      clip(printable(content ?? ''), 100),
    ])
    out(table(rows))
  })
}

export interface ExportCommandOptions extends GlobalOptions {
  readonly all?: boolean
  readonly user?: string
  readonly out: string
}

export function exportCommand(ids: readonly string[], options: ExportCommandOptions): Promise<number> {
  const all = options.all === true || options.user !== undefined
  if (all === ids.length > 0) throw new UsageError('name the sessions to export, or give --all or --user')
  return withStored(options, async (store) => {
    const counts = await exportSessions(store, { ids: all ? undefined : ids, userId: options.user, out: options.out })
    if (options.out === '-') return
    out(
      `exported ${plural(counts.sessions, 'session')} with ${plural(counts.messages, 'message')} to ${printable(options.out)}\n`,
    )
  })
}

export interface ImportCommandOptions extends GlobalOptions {
  readonly skipExisting?: boolean
  readonly newIds?: boolean
  readonly json?: boolean
}

export function importCommand(file: string, options: ImportCommandOptions): Promise<number> {
  const { skipExisting, newIds, json } = options
  if (skipExisting === true && newIds === true) throw new UsageError('--skip-existing and --new-ids exclude each other')
  return withStore(options, async (store) => {
    const result = await importSessions(store, { file, taken: skipExisting === true ? 'skip' : 'report', newIds })
    if (json === true) printJson({ ...result, ids: Object.fromEntries(result.ids) })
    else out(`${summary(result)}\n`)
    reportProblems(result.problems)
    return result.problems.length === 0 ? EXIT.ok : EXIT.failure
  })
}

function summary({ sessions, messages, skipped }: ImportResult): string {
  const skippedToo =
    skipped === 0 ? '' : `; skipped ${plural(skipped, 'session')} that ${skipped === 1 ? 'is' : 'are'} there already`
  return `imported ${plural(sessions, 'session')} with ${plural(messages, 'message')}${skippedToo}`
}

const SHOWN_PROBLEMS = 20

function reportProblems(problems: readonly Problem[]): void {
  for (const { line, code, reason } of problems.slice(0, SHOWN_PROBLEMS)) {
    process.stderr.write(`error ${code}: line ${line}: ${printable(reason)}\n`)
  }
  const more = problems.length - SHOWN_PROBLEMS
  if (more > 0) process.stderr.write(`and ${plural(more, 'more problem')}\n`)
  const conflicts = problems.some(({ code }) => code === 'CONFLICT')
  if (conflicts)
    process.stderr.write(
      '  Sessions that are there were left as they are: --skip-existing passes over them, --new-ids imports copies.\n',
    )
  if (problems.some(({ code }) => code === 'CORRUPT'))
    process.stderr.write('  Correct or export again what these lines hold; all other sessions were imported whole.\n')
}

export interface ForkOptions extends GlobalOptions {
  readonly at?: number
  readonly id?: string
  readonly name?: string
  readonly json?: boolean
}

export function fork(id: string, options: ForkOptions): Promise<number> {
  return withStored(options, async (store) => {
    const session = await store.forkSession(id, { atSeq: options.at, newId: options.id, name: options.name })
    out(
      options.json === true
        ? `${line(session)}\n`
        : `forked ${printable(id)} at message ${session.lastSeq} as ${printable(session.id)}\n`,
    )
  })
}

/** All ids are looked up before the first session is deleted. */
export function remove(ids: readonly string[], options: GlobalOptions): Promise<number> {
  return withStored(options, async (store) => {
    for (const id of ids) await existing(store, id)
    for (const id of ids) {
      const deleted = await store.deleteSession(id)
      if (deleted) out(`deleted ${printable(id)}\n`)
      else complain('NOT_FOUND', `${id} was deleted by someone else meanwhile`, 'Nothing is left to do.')
    }
  })
}

export function rename(id: string, name: string, options: GlobalOptions): Promise<number> {
  return withStored(options, async (store) => {
    if (name === '') throw new HoldfastError('INVALID_ARGUMENT', 'the name must not be empty')
    const session = await store.updateSession(id, { name })
    out(`renamed ${printable(session.id)} to ${printable(session.name ?? '')}\n`)
  })
}

function printItems(items: readonly object[], cursor?: string): void {
  const end = cursor === undefined ? '' : `,"cursor":${JSON.stringify(cursor)}`
  out(`{"items":[${items.map(line).join(',\n')}]${end}}\n`)
}

function jsonUnlessEmpty(value: object): string | undefined {
  return Object.keys(value).length === 0 ? undefined : clip(JSON.stringify(value), 300)
}

function shortTime(date: Date): string {
  return `${date.toISOString().slice(0, 16).replace('T', ' ')}Z`
}
