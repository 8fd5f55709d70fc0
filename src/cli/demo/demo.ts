/** `holdfast demo`: all three stores at work on a folder of Markdown. */
import { createInterface } from 'node:readline'
import { openPersistence, type Message } from '../../index.ts'
import { EXIT, UsageError } from '../failure.ts'
import { persistenceOptions, settingsOf, type GlobalOptions } from '../globals.ts'
import { out, plural, printable, printJson, styled } from '../terminal.ts'
import { answerOpen, ask, openSession, stateKey, type Chat, type Saved } from './chat.ts'
import { printInventory } from './inventory.ts'
import { ingest, libraryId, nameOf, questionsFrom, readLibrary, type Changes } from './library.ts'
import { printNext } from './next.ts'
import { field, printAnswer, printTurn, printTurnBriefly, sourceOf } from './show.ts'

export interface DemoOptions extends GlobalOptions {
  readonly docs?: string
  readonly ask?: string
  readonly reset?: boolean
  readonly json?: boolean
}

const QUESTIONS_A_RUN = 3
const SHOWN_TURNS = 4

/** About Holdfast's own documentation. Every run asks the next three. */
const PRESET_QUESTIONS = [
  'Which Node version does Holdfast need?',
  'What happens when many processes append to one session?',
  'What is a workspace?',
  'How do I plug in a backend?',
  'Does an acknowledged write survive a killed process?',
  'What does a filter do with a missing field?',
]

export async function demo(options: DemoOptions): Promise<number> {
  if (options.json === true && options.ask === undefined) throw new UsageError('--json goes with --ask')
  if (options.ask?.trim() === '') throw new UsageError('--ask needs a question')
  const [settings, library] = await Promise.all([settingsOf(options), readLibrary(options.docs)])
  await using stores = await openPersistence(persistenceOptions(options))
  const chat: Chat = { stores, id: libraryId(options.docs), library, hasOwnEmbedder: settings.embed !== undefined }
  if (options.reset === true) await reset(chat, options.json === true)
  const changes = await ingest(stores.knowledge, chat.id, library.passages, settings.embed)
  await openSession(chat, nameOf(options.docs))
  if (options.ask !== undefined) return await answerOne(chat, options.ask, options.json === true)
  printHead(chat, changes)
  await resume(chat)
  const questions = options.docs === undefined ? PRESET_QUESTIONS : questionsFrom(library, 2 * QUESTIONS_A_RUN)
  await converse(chat, questions)
  await printInventory(stores, settings, chat.id)
  printNext(stores, options, chat.id)
  if (process.stdin.isTTY && process.stdout.isTTY) await interact(chat)
  return EXIT.ok
}

async function reset({ stores, id }: Pick<Chat, 'stores' | 'id'>, quiet: boolean): Promise<void> {
  await Promise.all([
    stores.conversation.deleteSession(id),
    stores.knowledge.deleteCollection(id),
    stores.state.deleteMany((['runs', 'questions', 'last'] as const).map((name) => stateKey(id, name))),
  ])
  if (!quiet) field('Reset', `what earlier runs stored about these documents is gone`)
}

async function answerOne(chat: Chat, question: string, json: boolean): Promise<number> {
  const saved = await ask(chat, question, () => undefined)
  if (json) printJson(toJsonAnswer(chat.id, saved))
  else printAnswer(saved)
  return EXIT.ok
}

function toJsonAnswer(session: string, { question, text, source, asked, answered }: Saved): object {
  const found = source === undefined ? null : { ...source, place: sourceOf(source) }
  return { question, answer: text, source: found, saved: { session, messages: [asked, answered] } }
}

function printHead({ library, hasOwnEmbedder }: Chat, { written, removed, total }: Changes): void {
  out(`${styled('bold', 'Holdfast demo')}: a conversation about documents, kept in three stores, that outlives its process.\n\n`)
  field('Knowledge', `${printable(library.label)}: ${plural(library.files.length, 'file')}, ${plural(total, 'passage')}`)
  const kind = hasOwnEmbedder
    ? 'the one of the config file'
    : 'lexical: it compares words, not meanings (`embed` in a config file: a real one)'
  field('', `embedder ${kind}`)
  const gone = removed === 0 ? '' : `, removed ${removed} that are gone`
  field(
    '',
    written + removed === 0
      ? 'nothing has changed since the last run'
      : `saved ${plural(written, 'new or changed passage')}${gone}`,
  )
}

/** Counts the run, shows where the conversation stands, and answers what the last run left open. */
async function resume(chat: Chat): Promise<void> {
  const { conversation, state } = chat.stores
  const last = await state.get<{ at: string }>(stateKey(chat.id, 'last'))
  const run = await state.increment(stateKey(chat.id, 'runs'))
  const turns = await conversation.getMessages(chat.id, { limit: SHOWN_TURNS })
  const before = turns.length === 0 ? 'new' : `resumed at message ${turns.at(-1)!.seq}`
  field('Conversation', `session ${printable(chat.id)}, ${before}`)
  if (last !== undefined) field('State', `the last run ended ${last.at}`)
  field(last === undefined ? 'State' : '', `saved run ${run}`)
  printHistory(turns)
  const open = await answerOpen(chat, turns.at(-1))
  if (open === undefined) return
  out('\nThe last run was ended before it answered:\n')
  printTurn('you', open.question)
  printAnswer(open)
}

function printHistory(turns: readonly Message[]): void {
  if (turns.length > 0) out('\n')
  for (const { seq, role, content } of turns) printTurnBriefly(role === 'user' ? 'you' : 'docs', `#${seq} ${content ?? ''}`)
}

async function converse(chat: Chat, questions: readonly string[]): Promise<void> {
  const { state } = chat.stores
  const run = (await state.get<number>(stateKey(chat.id, 'runs'))) ?? 1
  const count = Math.min(QUESTIONS_A_RUN, questions.length)
  const asked = Array.from({ length: count }, (_, i) => questions[((run - 1) * count + i) % questions.length]!)
  for (const question of asked) await turn(chat, question)
  await state.set(stateKey(chat.id, 'last'), { at: new Date().toISOString(), questions: asked })
  out('\n')
  field(
    'State',
    `saved what this run asked, and when; ${plural((await state.get<number>(stateKey(chat.id, 'questions'))) ?? 0, 'question')} so far`,
  )
}

async function turn(chat: Chat, question: string): Promise<void> {
  out('\n')
  const saved = await ask(chat, question, (seq) => printTurn('you', question, `saved message ${seq}`))
  printAnswer(saved)
}

/** Until Ctrl-D or `exit`. */
async function interact(chat: Chat): Promise<void> {
  out('\nAsk something about the documents; Ctrl-D or "exit" ends.\n')
  const lines = createInterface({ input: process.stdin, output: process.stdout, prompt: 'you> ' })
  lines.prompt()
  for await (const line of lines) {
    const question = line.trim()
    if (question === 'exit' || question === 'quit') break
    if (question !== '') printAnswer(await ask(chat, question, (seq) => field('', styled('dim', `saved message ${seq}`))))
    lines.prompt()
  }
  lines.close()
  out('\n')
}
