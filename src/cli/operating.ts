/** The commands of those who run stores: state, workspaces, backups, schemas. */
import { Option, type Command } from 'commander'
import { example, KINDS, seconds, type Act } from './arguments.ts'
import type { BackupOptions } from './commands/backup.ts'
import type { RestoreCommandOptions } from './commands/restore.ts'
import type { GlobalOptions } from './globals.ts'

export function addBackup(program: Command, act: Act): void {
  program
    .command('backup')
    .description('copy all three stores, consistently and while work goes on, into a new folder')
    .argument('<folder>', 'a folder that is not there yet, or empty')
    .option('--json', 'print JSON')
    .action(act(async (options: BackupOptions, folder: string) => (await import('./commands/backup.ts')).backup(folder, options)))
}

export function addRestore(program: Command, act: Act): void {
  program
    .command('restore')
    .description('look through a backup and put it into the folder of the stores')
    .argument('<folder>', 'what backup wrote')
    .option('--force', 'move the stores that are there aside')
    .option('--json', 'print JSON')
    .addHelpText('after', example('holdfast restore copies/today --dir .holdfast --force'))
    .action(
      act(async (options: RestoreCommandOptions, folder: string) =>
        (await import('./commands/restore.ts')).restore(folder, options),
      ),
    )
}

type SchemaCommands = typeof import('./commands/schema.ts')
type SchemaOptions = Parameters<SchemaCommands['print']>[0]

const SCHEMA_COMMANDS = {
  print: 'print the statements that make the tables',
  apply: 'make the tables, and bring those that are there up to date',
  status: 'compare the tables that are there with those that this version needs; ends with 1 where they are behind',
} as const satisfies { readonly [N in keyof SchemaCommands]?: string }

export function addSchema(program: Command, act: Act): void {
  const schema = program.command('schema').description('print, apply and check the tables of stores on SQL engines')
  for (const [name, description] of Object.entries(SCHEMA_COMMANDS)) {
    const command = schema
      .command(name)
      .description(description)
      .addOption(new Option('--kind <kind>', 'only one kind').choices(KINDS))
      .option('--json', 'print JSON')
    if (name === 'print') command.option('--pending', 'only what the tables that are there lack')
    command.action(
      act(async (options: SchemaOptions) =>
        (await import('./commands/schema.ts'))[name as keyof typeof SCHEMA_COMMANDS](options),
      ),
    )
  }
}

type WorkspaceCommands = typeof import('./commands/workspaces.ts')

const workspaceCommands = (): Promise<WorkspaceCommands> => import('./commands/workspaces.ts')

export function addWorkspaces(program: Command, act: Act): void {
  const workspaces = program.command('workspaces').description('list the tenants that hold something, and delete one')
  workspaces
    .command('list')
    .description('list every workspace in which a store holds something')
    .option('--json', 'print JSON')
    .action(act(async (options: Parameters<WorkspaceCommands['list']>[0]) => (await workspaceCommands()).list(options)))
  workspaces
    .command('delete')
    .description('delete everything in a workspace: its sessions, collections and keys')
    .argument('<id>', "the workspace, '' for the unnamed one")
    .option('--yes', 'do it')
    .option('--json', 'print JSON')
    .action(
      act(async (options: Parameters<WorkspaceCommands['remove']>[1], id: string) =>
        (await workspaceCommands()).remove(id, options),
      ),
    )
}

type StateCommands = typeof import('./commands/state.ts')

const stateCommands = (): Promise<StateCommands> => import('./commands/state.ts')

export function addState(program: Command, act: Act): void {
  const state = program.command('state').description('read, write, list and delete keys')
  state
    .command('get')
    .description('print a value as JSON')
    .argument('<key>')
    .option('--bytes', 'write the bytes as they are stored')
    .option('--json', 'print the key and its time to live as well')
    .action(act(async (options: Parameters<StateCommands['get']>[1], key: string) => (await stateCommands()).get(key, options)))
  state
    .command('set')
    .description('set a key to a JSON value')
    .argument('<key>')
    .argument('[value]', 'JSON')
    .option('--text', 'take the value as text, not as JSON')
    .option('--file <file>', 'set the key to the bytes of a file, - for standard input')
    .option('--ttl <seconds>', 'the key goes after this time', seconds)
    .addHelpText(
      'after',
      example(`holdfast state set plan '{"name":"gold"}'`, 'holdfast state set greeting --text Hello --ttl 60'),
    )
    .action(
      act(async (options: Parameters<StateCommands['set']>[2], key: string, value?: string) =>
        (await stateCommands()).set(key, value, options),
      ),
    )
  state
    .command('keys')
    .description('list keys in bytewise order')
    .argument('[pattern]', '* is any text, ? one character, \\ takes the next one as it is', '*')
    .option('--json', 'print JSON')
    .action(
      act(async (options: Parameters<StateCommands['keys']>[1], pattern: string) =>
        (await stateCommands()).keys(pattern, options),
      ),
    )
  state
    .command('delete')
    .description('delete keys')
    .argument('<key...>')
    .action(act(async (options: GlobalOptions, keys: string[]) => (await stateCommands()).remove(keys, options)))
}
