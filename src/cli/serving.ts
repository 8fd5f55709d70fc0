/** The commands of the server. */
import type { Command } from 'commander'
import { age, example, positiveInteger, seconds, wholeNumber, type Act } from './arguments.ts'
import type { ServeCommandOptions } from './commands/serve.ts'
import type { CreateTokenOptions } from './commands/token.ts'
import type { GlobalOptions } from './globals.ts'

export function addServe(program: Command, act: Act): void {
  program
    .command('serve')
    .description('serve the configured stores over HTTP; without a token, to this machine only')
    .option('--host <address>', 'where to listen', '127.0.0.1')
    .option('--port <n>', 'the port, 0 for any free one', wholeNumber, 4444)
    .option('--require-token', 'take no request without a token, also while there is none')
    .option('--max-concurrent <n>', 'requests of one token at a time (default: 256)', positiveInteger)
    .option('--max-body-mib <n>', 'the largest JSON body, in MiB (default: 16)', positiveInteger)
    .option('--drain <seconds>', 'how long requests under way may take at the end (default: 10)', seconds)
    .option('--quiet', 'no log')
    .addHelpText('after', example('holdfast serve', 'holdfast serve --host 0.0.0.0 --state redis://localhost'))
    .action(act(async (options: ServeCommandOptions) => (await import('./commands/serve.ts')).serveCommand(options)))
}

type TokenCommands = typeof import('./commands/token.ts')

const tokenCommands = (): Promise<TokenCommands> => import('./commands/token.ts')

export function addToken(program: Command, act: Act): void {
  const token = program.command('token').description('make, list and revoke the tokens by which the server lets callers in')
  token
    .command('create')
    .description('make a token for the workspace of --workspace, and show it once')
    .argument('<name>', 'what it is for')
    .option('--all-workspaces', 'for all workspaces')
    .option('--plugin <id...>', 'only for the storage of these plugins: author/name')
    .option('--read-only', 'it may not write')
    .option('--expires-in <age>', 'when it ends: 12h, 30d, 8w', age)
    .option('--json', 'print JSON')
    .addHelpText('after', example('holdfast token create ci --workspace w1 --expires-in 30d'))
    .action(act(async (options: CreateTokenOptions, name: string) => (await tokenCommands()).create(name, options)))
  token
    .command('list')
    .description('list the tokens, without their secrets')
    .option('--json', 'print JSON')
    .action(act(async (options: GlobalOptions & { json?: boolean }) => (await tokenCommands()).list(options)))
  token
    .command('revoke')
    .description('end a token')
    .argument('<id>', 'as list shows it')
    .action(act(async (options: GlobalOptions, id: string) => (await tokenCommands()).revoke(id, options)))
}
