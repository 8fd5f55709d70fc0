/** The commands and their options. What a command does is imported when it is called, so that `--help` and errors are quick. */
import { Argument, Command, Option } from 'commander'
import { readFileSync } from 'node:fs'
import { age, example, KINDS, positiveInteger, wholeNumber, type Act } from './arguments.ts'
import type { BackendsOptions } from './commands/backends.ts'
import type { ConformOptions } from './commands/conform.ts'
import type { DoctorOptions } from './commands/doctor.ts'
import type { SyncCommandOptions } from './commands/sync.ts'
import type { DemoOptions } from './demo/demo.ts'
import { addDify } from './dify.ts'
import { EXIT, reportFailure } from './failure.ts'
import type { GlobalOptions } from './globals.ts'
import { addBackup, addRestore, addSchema, addState, addWorkspaces } from './operating.ts'
import type { PruneOptions } from './sessions/prune.ts'
import { addServe, addToken } from './serving.ts'
import { addStorage } from './storage/define.ts'
import { endQuietlyOnClosedPipe, printable } from './terminal.ts'

/** Runs one command line and returns its exit code. Errors have been reported by then. */
export async function main(args: readonly string[]): Promise<number> {
  endQuietlyOnClosedPipe()
  const run: Run = { exitCode: EXIT.ok }
  try {
    await createProgram(run).parseAsync(args, { from: 'user' })
    return run.exitCode
  } catch (error) {
    return await reportFailure(error, args.includes('--debug'))
  }
}

interface Run {
  exitCode: number
}

function createProgram(run: Run): Command {
  const program = new Command('holdfast')
  program
    .description('Persistence for AI agents and their plugins: conversations, knowledge and state in any database.')
    .version(versionOfPackage(), '-V, --version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .showSuggestionAfterError()
  addGlobalOptions(program)
  const act = actionOf(run)
  for (const add of COMMANDS) add(program, act)
  reportUsage(program, program.name())
  return program.addHelpText('after', EXAMPLES)
}

const COMMANDS = [
  addServe,
  addToken,
  addDify,
  addDemo,
  addDoctor,
  addBackends,
  addSessions,
  addState,
  addStorage,
  addWorkspaces,
  addBackup,
  addRestore,
  addSchema,
  addConformance,
  addSync,
]

/** Errors in the form of all others, with the help of the very command as the remedy. */
function reportUsage(command: Command, path: string): void {
  command.configureOutput({ outputError: (text, write) => write(usageError(text, path)) })
  for (const sub of command.commands) reportUsage(sub, `${path} ${sub.name()}`)
}

function actionOf(run: Run): Act {
  return (handler) =>
    async function (...given) {
      // Commander gives the arguments, then the command's own options, then the command.
      run.exitCode = await handler(this.optsWithGlobals(), ...(given.slice(0, -2) as never[]))
    }
}

const EXAMPLES = `
Examples:
  $ holdfast demo                                 try it on this project's documentation
  $ holdfast doctor                               is everything that is configured reachable?
  $ holdfast backends --json                      every backend, for a program
  $ holdfast conform --kind state --backend ./my.ts
  $ holdfast sessions export --all > sessions.jsonl

Settings come from the command line, then holdfast.config.{ts,js,json}, then HOLDFAST_* variables, then defaults.
Exit codes: 0 success, 1 failure, 2 wrong usage.`

function addGlobalOptions(program: Command): void {
  program
    .option('--dir <folder>', 'folder of the embedded stores (default: .holdfast)')
    .option('--conversation <url|name>', 'where conversations are: a URL, a path or the name of a backend')
    .option('--knowledge <url|name>', 'where knowledge is')
    .option('--state <url|name>', 'where state is')
    .option('--workspace <id>', 'the tenant to work in (default: the unnamed one)')
    .option('--config <file>', 'config file (default: holdfast.config.{ts,js,json} of the project)')
    .option('--debug', 'show stack traces')
}

function addBackends(program: Command, act: Act): void {
  program
    .command('backends')
    .description('list every backend: names, aliases, client packages, capabilities, origin')
    .addOption(new Option('--kind <kind>', 'only one kind').choices(KINDS))
    .option('--json', 'print JSON')
    .action(act(async (options: BackendsOptions) => (await import('./commands/backends.ts')).backends(options)))
}

function addDoctor(program: Command, act: Act): void {
  program
    .command('doctor')
    .description('show what is configured and from where, open every store and ask it for an answer')
    .option('--timeout <ms>', 'how long a store may take', positiveInteger, 10_000)
    .option('--json', 'print JSON')
    .addHelpText('after', example('holdfast doctor --state redis://localhost'))
    .action(act(async (options: DoctorOptions) => (await import('./commands/doctor.ts')).doctor(options)))
}

function addConformance(program: Command, act: Act): void {
  program
    .command('conform')
    .description('run the conformance suite against a backend')
    .addOption(new Option('--kind <kind>', 'kind of store').choices(KINDS).makeOptionMandatory())
    .requiredOption('--backend <module|name>', 'a module whose factory to try (./my.ts, ./my.ts#create), or a registered name')
    .option('--options <json>', 'options of the backend; {dir} is a new folder for each case, {id} a new name')
    .addOption(
      new Option('--view <view>', 'in which view of the store').choices(['default', 'workspace', 'both']).default('both'),
    )
    .option('--only <glob...>', 'only cases whose id matches, such as "state/ttl/*"')
    .option('--clear', 'let the cases delete whatever the backend holds')
    .option('--concurrency <n>', 'cases at a time', positiveInteger, 4)
    .option('--json', 'print the reports as JSON')
    .addHelpText(
      'after',
      example(
        'holdfast conform --kind state --backend ./my.ts',
        'holdfast conform --kind conversation --backend sqlite --only "conversation/append/*"',
        `holdfast conform --kind state --backend ./my.ts --options '{"url":"my://localhost/{id}"}' --json`,
      ),
    )
    .action(act(async (options: ConformOptions) => (await import('./commands/conform.ts')).conform(options)))
}

function addSync(program: Command, act: Act): void {
  program
    .command('sync')
    .description('write a module that registers the installed plugins by static imports, for bundlers and for review')
    .option('--out <file>', 'the module to write, - for standard output', 'holdfast.plugins.js')
    .option('--check', 'write nothing; fail where the file is out of date')
    .addHelpText('after', example('holdfast sync --out src/holdfast.plugins.ts', 'holdfast sync --check'))
    .action(act(async (options: SyncCommandOptions) => (await import('./commands/sync.ts')).sync(options)))
}

function addDemo(program: Command, act: Act): void {
  program
    .command('demo')
    .description('hold a conversation about a folder of Markdown, and show what is stored where')
    .option('--docs <folder>', 'Markdown to read (default: the documentation of Holdfast)')
    .option('--ask <question>', 'answer one question and end')
    .option('--reset', 'forget what earlier demos stored about this folder')
    .option('--json', 'with --ask: print the answer as JSON')
    .addHelpText('after', example('holdfast demo', 'holdfast demo --docs ./docs --ask "How do I install it?"'))
    .action(act(async (options: DemoOptions) => (await import('./demo/demo.ts')).demo(options)))
}

type SessionCommands = typeof import('./sessions/commands.ts')
type OptionsOf<Name extends keyof SessionCommands> = Extract<Parameters<SessionCommands[Name]>[number], GlobalOptions>

const sessionCommands = (): Promise<SessionCommands> => import('./sessions/commands.ts')

function addSessions(program: Command, act: Act): void {
  const sessions = program
    .command('sessions')
    .description('list, read, search, export, import, fork, rename, delete and prune conversations')
  addSessionReading(sessions, act)
  addSessionTransfer(sessions, act)
  sessions
    .command('fork')
    .description('copy a session under a new id')
    .argument('<id>')
    .option('--at <seq>', 'copy the messages up to this number', wholeNumber)
    .option('--id <id>', 'id of the copy (default: a new UUID)')
    .option('--name <name>', 'name of the copy')
    .option('--json', 'print JSON')
    .action(act(async (options: OptionsOf<'fork'>, id: string) => (await sessionCommands()).fork(id, options)))
  sessions
    .command('rename')
    .description('give a session another name')
    .argument('<id>')
    .argument('<name>')
    .action(act(async (options: GlobalOptions, id: string, name: string) => (await sessionCommands()).rename(id, name, options)))
  sessions
    .command('delete')
    .description('delete sessions with their messages')
    .argument('<id...>')
    .action(act(async (options: GlobalOptions, ids: string[]) => (await sessionCommands()).remove(ids, options)))
  sessions
    .command('prune')
    .description('delete the sessions that nothing has touched for some time')
    .requiredOption('--older-than <age>', 'for how long: 90m, 12h, 30d, 8w', age)
    .option('--user <id>', 'only sessions of this user')
    .option('--dry-run', 'delete nothing, and say how many it would be')
    .option('--json', 'print JSON')
    .action(act(async (options: PruneOptions) => (await import('./sessions/prune.ts')).prune(options)))
}

function addSessionReading(sessions: Command, act: Act): void {
  sessions
    .command('list')
    .description('list sessions, the one that changed last first')
    .option('--user <id>', 'only sessions of this user')
    .option('--agent <id>', 'only sessions of this agent')
    .option('--limit <n>', 'how many, at most 1000', positiveInteger, 50)
    .option('--cursor <cursor>', 'go on where an earlier list ended')
    .option('--json', 'print JSON')
    .action(act(async (options: OptionsOf<'list'>) => (await sessionCommands()).list(options)))
  sessions
    .command('show')
    .description('print a session and its newest messages')
    .argument('<id>')
    .option('--limit <n>', 'how many messages', positiveInteger, 20)
    .option('--before <seq>', 'only messages before this number', wholeNumber)
    .option('--after <seq>', 'only messages behind this number', wholeNumber)
    .option('--json', 'print JSON')
    .action(act(async (options: OptionsOf<'show'>, id: string) => (await sessionCommands()).show(id, options)))
  sessions
    .command('search')
    .description('find messages in which every word occurs')
    .argument('<word...>')
    .option('--user <id>', 'only in sessions of this user')
    .option('--session <id>', 'only in this session')
    .option('--limit <n>', 'how many, at most 1000', positiveInteger, 20)
    .option('--json', 'print JSON')
    .action(act(async (options: OptionsOf<'search'>, words: string[]) => (await sessionCommands()).search(words, options)))
}

function addSessionTransfer(sessions: Command, act: Act): void {
  sessions
    .command('export')
    .description('write sessions as JSON lines: everything that is stored, one line for each session and message')
    .argument('[id...]')
    .option('--all', 'all sessions')
    .option('--user <id>', 'all sessions of this user')
    .option('--out <file>', 'the file to write, - for standard output', '-')
    .addHelpText(
      'after',
      example('holdfast sessions export --all --out sessions.jsonl', 'holdfast sessions export s1 | gzip > s1.jsonl.gz'),
    )
    .action(
      act(async (options: OptionsOf<'exportCommand'>, ids: string[]) => (await sessionCommands()).exportCommand(ids, options)),
    )
  sessions
    .command('import')
    .description('read what export wrote; each session is imported whole or not at all')
    .addArgument(new Argument('<file>', 'the file to read, - for standard input'))
    .option('--skip-existing', 'pass over sessions that are there already')
    .option('--new-ids', 'give every session a new id')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      example(
        'holdfast sessions import sessions.jsonl',
        'holdfast sessions export --all | holdfast --dir other sessions import -',
      ),
    )
    .action(
      act(async (options: OptionsOf<'importCommand'>, file: string) => (await sessionCommands()).importCommand(file, options)),
    )
}

function usageError(text: string, command: string): string {
  const lines = text.trim().split('\n').map(printable)
  return `error USAGE: ${lines.join(' ').replace(/^error: /, '')}\n  See \`${command} --help\`.\n`
}

/** The sources and the built package have package.json at the same distance. */
function versionOfPackage(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
  return version
}
