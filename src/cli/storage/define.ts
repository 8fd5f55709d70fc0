/** The commands on plugin storage, and their options. */
import type { Command } from 'commander'
import { age, example, seconds, wholeNumber, type Act } from '../arguments.ts'
import type { KeygenOptions } from './keys.ts'
import type { ConvertOptions, ReconcileCommandOptions, ScopesOptions } from './scopes.ts'
import type { StorageOptions } from './open.ts'
import type { GetOptions, ListOptions, SetOptions } from './values.ts'

const values = (): Promise<typeof import('./values.ts')> => import('./values.ts')
const wholes = (): Promise<typeof import('./scopes.ts')> => import('./scopes.ts')

export function addStorage(program: Command, act: Act): void {
  const storage = program.command('storage').description('look into the storage of plugins, and administrate it')
  addWholes(storage, act)
  addValues(storage, act)
  addUpkeep(storage, act)
  addEncryption(storage, act)
}

function addWholes(storage: Command, act: Act): void {
  withQuota(storage.command('scopes'))
    .description('list the plugins that have stored something, of every workspace unless --workspace names one')
    .option('--count', 'count the keys as well')
    .option('--json', 'print JSON')
    .action(act(async (options: ScopesOptions) => (await wholes()).scopes(options)))
  withQuota(storage.command('usage'))
    .description('how much a plugin has stored')
    .argument('<plugin>', 'author/name')
    .option('--count', 'count the keys as well')
    .option('--json', 'print JSON')
    .action(act(async (options: ScopesOptions, plugin: string) => (await wholes()).usage(plugin, options)))
}

function addValues(storage: Command, act: Act): void {
  storage
    .command('ls')
    .description('list the keys of a plugin in bytewise order')
    .argument('<plugin>', 'author/name')
    .option('--prefix <text>', 'only keys that begin with this', '')
    .option('--json', 'print JSON')
    .action(act(async (options: ListOptions, plugin: string) => (await values()).ls(plugin, options)))
  withKeys(storage.command('get'))
    .description('write a value as it is stored; a terminal is shown it as text')
    .argument('<plugin>', 'author/name')
    .argument('<key>')
    .option('--out <file>', 'the file to write, - for standard output as it is')
    .action(act(async (options: GetOptions, plugin: string, key: string) => (await values()).get(plugin, key, options)))
  withKeys(withQuota(storage.command('set')))
    .description('store a value')
    .argument('<plugin>', 'author/name')
    .argument('<key>')
    .argument('[value]', 'text, - for standard input')
    .option('--file <file>', 'store the bytes of a file, - for standard input')
    .option('--ttl <seconds>', 'the value goes after this time', seconds)
    .addHelpText('after', example('holdfast storage set acme/notes greeting Hello --workspace w1'))
    .action(
      act(async (options: SetOptions, plugin: string, key: string, value?: string) =>
        (await values()).set(plugin, key, value, options),
      ),
    )
  withKeys(storage.command('rm'))
    .description('delete values')
    .argument('<plugin>', 'author/name')
    .argument('<key...>')
    .action(act(async (options: StorageOptions, plugin: string, keys: string[]) => (await values()).rm(plugin, keys, options)))
}

function addUpkeep(storage: Command, act: Act): void {
  storage
    .command('clear')
    .description('delete all that a plugin has stored in the workspace, as when it is uninstalled')
    .argument('<plugin>', 'author/name')
    .option('--yes', 'do it')
    .action(
      act(async (options: StorageOptions & { readonly yes?: boolean }, plugin: string) =>
        (await wholes()).clear(plugin, options),
      ),
    )
  withKeys(storage.command('reconcile'))
    .description('count again, and remove what killed writers have left')
    .argument('<plugin>', 'author/name')
    .option('--older-than <age>', 'what counts as left: 90m, 12h, 30d (default: 1h)', age)
    .option('--json', 'print JSON')
    .action(act(async (options: ReconcileCommandOptions, plugin: string) => (await wholes()).reconcile(plugin, options)))
}

const CONVERSIONS = {
  encrypt: 'encrypt what a plugin has stored, or, with a new current key, encrypt it anew',
  decrypt: 'the reverse',
} as const

function addEncryption(storage: Command, act: Act): void {
  for (const [name, description] of Object.entries(CONVERSIONS)) {
    withKeys(storage.command(name))
      .description(description)
      .argument('[plugin]', 'author/name')
      .option('--all', 'every plugin, of every workspace unless --workspace names one')
      .action(
        act(async (options: ConvertOptions, plugin?: string) =>
          (await wholes())[name as keyof typeof CONVERSIONS](plugin, options),
        ),
      )
  }
  storage
    .command('keygen')
    .description('make a key file')
    .option('--out <file>', 'a file that is not there yet, for its owner alone to read; - for standard output', '-')
    .option('--id <id>', 'name of the new key (default: the date)')
    .option('--rotate <file>', 'keep the keys of this file, for what is encrypted with them')
    .addHelpText('after', example('holdfast storage keygen --out keys.json', 'holdfast storage encrypt --all --keys keys.json'))
    .action(act(async (options: KeygenOptions) => (await import('./keys.ts')).keygen(options)))
}

function withKeys(command: Command): Command {
  return command.option('--keys <file>', 'the key file of what is encrypted (default: HOLDFAST_KEYS_FILE)')
}

function withQuota(command: Command): Command {
  return command.option('--quota <bytes>', 'what a plugin may store (default: 100 MiB)', wholeNumber)
}
