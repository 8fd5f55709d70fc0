/** `holdfast token …`: who may use the server. */
import { openStore } from '../../index.ts'
import { parsePluginId } from '../../plugin-storage/index.ts'
import { Tokens, type Grant, type TokenInfo } from '../../server/index.ts'
import { EXIT, Failure } from '../failure.ts'
import { settingsOf, type GlobalOptions } from '../globals.ts'
import { out, printable, printJson } from '../terminal.ts'

interface JsonOption extends GlobalOptions {
  readonly json?: boolean
}

export interface CreateTokenOptions extends JsonOption {
  /** Workspaces by id. Left out: the one of --workspace, or all with --all-workspaces. */
  readonly allWorkspaces?: boolean
  readonly plugin?: readonly string[]
  readonly readOnly?: boolean
  /** Milliseconds. */
  readonly expiresIn?: number
}

const ALL = '*'

async function withTokens(options: GlobalOptions, work: (tokens: Tokens) => Promise<void>): Promise<number> {
  await using state = await openStore('state', await settingsOf(options))
  await work(new Tokens(state))
  return EXIT.ok
}

export function create(name: string, options: CreateTokenOptions): Promise<number> {
  return withTokens(options, async (tokens) => {
    const { token, info } = await tokens.create(grantOf(name, options))
    if (options.json === true) return printJson({ token, ...info })
    out(`${token}\n\nThis is the only time it is shown. It allows: ${allowed(info)}.\n`)
  })
}

function grantOf(name: string, { workspace = '', allWorkspaces, plugin, readOnly, expiresIn }: CreateTokenOptions): Grant {
  return {
    name,
    workspaces: allWorkspaces === true ? ALL : [workspace],
    plugins: plugin === undefined ? ALL : plugin.map(parsePluginId),
    write: readOnly !== true,
    expiresAt: expiresIn === undefined ? undefined : Date.now() + expiresIn,
  }
}

export function list(options: JsonOption): Promise<number> {
  return withTokens(options, async (tokens) => {
    const items = await tokens.list()
    if (options.json === true) return printJson({ items })
    if (items.length === 0) out('no tokens: only this machine may use the server\n')
    for (const info of items) out(`${info.id}  ${printable(info.name)}  ${allowed(info)}\n`)
  })
}

export function revoke(id: string, options: GlobalOptions): Promise<number> {
  return withTokens(options, async (tokens) => {
    if (!(await tokens.revoke(id))) {
      throw new Failure('NOT_FOUND', `there is no token ${printable(id)}`, 'See `holdfast token list`.')
    }
    out(`revoked ${id}; servers refuse it within seconds\n`)
  })
}

function allowed({ workspaces, plugins, write, expiresAt }: TokenInfo): string {
  const where = workspaces === ALL ? 'all workspaces' : `workspace ${workspaces.map((id) => JSON.stringify(id)).join(', ')}`
  const what = plugins === ALL ? '' : `, only the storage of ${plugins.join(', ')}`
  const until = expiresAt === undefined ? '' : `, until ${new Date(expiresAt).toISOString()}`
  return printable(`${write ? 'read and write' : 'read'}, ${where}${what}${until}`)
}
