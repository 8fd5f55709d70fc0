/** The commands that host Dify plugins, and their options. */
import { InvalidArgumentError, type Command } from 'commander'
import { age, example, seconds, wholeNumber, type Act } from './arguments.ts'
import type { ListenCommandOptions, RunCommandOptions } from './commands/dify.ts'

const commands = (): Promise<typeof import('./commands/dify.ts')> => import('./commands/dify.ts')

export function addDify(program: Command, act: Act): void {
  const dify = program
    .command('dify')
    .description('run Dify plugins as they are, with their storage in the configured state store')
  withTool(dify.command('run'))
    .description('start the plugin in a folder, use one of its tools, and print what it says')
    .argument('<folder>', 'where the manifest.yaml is')
    .option('--python <file>', 'the interpreter that has the SDK (default: .venv/bin/python in the folder, else python3)')
    .addHelpText('after', example(`holdfast dify run ./my-plugin --tool search --params '{"query":"holdfast"}' --workspace w1`))
    .action(act(async (options: RunCommandOptions, folder: string) => (await commands()).runCommand(folder, options)))
  withTool(dify.command('listen'))
    .description('let plugins come that run elsewhere (remote debugging), until the command is ended')
    .option('--host <address>', 'where to listen', '127.0.0.1')
    .option('--port <n>', 'the port, 0 for any free one', wholeNumber, 5003)
    .option('--key <key>', 'what lets a plugin in (default: HOLDFAST_DIFY_KEY, else a new one, which is shown)')
    .option('--key-file <file>', 'the file that holds the key')
    .option('--expires-in <age>', 'when the key ends: 12h, 30d, 8w (default: with the command)', age)
    .addHelpText(
      'after',
      example(
        'holdfast dify listen --workspace w1',
        `holdfast dify listen --tool search --params '{"query":"holdfast"}'   # waits for a plugin that has it, and ends`,
      ),
    )
    .action(act(async (options: ListenCommandOptions) => (await commands()).listenCommand(options)))
}

function withTool(command: Command): Command {
  return command
    .option('--tool <name>', 'the tool to use')
    .option('--provider <name>', 'its provider (default: the one that declares it)')
    .option('--params <json>', 'its parameters, a JSON object', jsonObject)
    .option('--credentials <file>', 'a JSON file with what the provider is authorised by, - for standard input')
    .option('--timeout <seconds>', 'how long the tool may say nothing (default: 250)', seconds)
    .option('--out <folder>', 'where to write the files that the tool gives')
    .option('--strict', 'reading a key that is missing is an error in the plugin; otherwise it is no bytes')
    .option('--quota <bytes>', 'what a plugin may store (default: 100 MiB)', wholeNumber)
    .option('--keys <file>', 'the key file of what is encrypted (default: HOLDFAST_KEYS_FILE)')
    .option('--verbose', 'show what plugins log, on standard error')
    .option('--json', 'print each message as a line of JSON')
}

/** What it is never shows: it may hold a secret. */
function jsonObject(text: string): object {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  } catch {
    // Said below.
  }
  throw new InvalidArgumentError('It must be a JSON object.')
}
