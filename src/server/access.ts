/** What a caller may do. Whatever is asked for is checked here, from checked arguments, before a store is touched. */
import { HoldfastError } from '../index.ts'

/** What a token allows. */
export interface Access {
  /** Names the caller in logs and metrics; not secret. */
  readonly tokenId: string
  /** `*`: all, those of the server's own housekeeping included. */
  readonly workspaces: '*' | readonly string[]
  /** Plugins, as `author/name`, whose storage may be used. A token for some has access to their storage and to nothing else. */
  readonly plugins: '*' | readonly string[]
  readonly write: boolean
}

/** What a request needs. */
export interface Need {
  /** `EVERYTHING`: something that spans workspaces; undefined: nothing of any. */
  readonly workspace: string | typeof EVERYTHING | undefined
  /** Only storage of this plugin; left out: the workspace's stores. */
  readonly plugin?: string | undefined
  readonly write: boolean
}

/** All workspaces, in a need. No text, so that no workspace can be called so. */
export const EVERYTHING = Symbol('everything')

/** Who is there while no token is configured: somebody on this machine. */
export const LOCAL: Access = { tokenId: 'local', workspaces: '*', plugins: '*', write: true }

/** Why the access does not do for the need; undefined where it does. It names nothing that the caller did not name. */
export function refusal(access: Access, need: Need): string | undefined {
  if (need.write && !access.write) return 'this token may only read'
  if (need.workspace === undefined) return undefined
  if (access.workspaces !== '*' && (need.workspace === EVERYTHING || !access.workspaces.includes(need.workspace))) {
    return 'this token does not reach that workspace'
  }
  if (access.plugins === '*' || (need.plugin !== undefined && access.plugins.includes(need.plugin))) return undefined
  return need.plugin === undefined ? 'this token is for the storage of plugins only' : 'this token does not reach that plugin'
}

export function check(access: Access, need: Need): void {
  const reason = refusal(access, need)
  if (reason !== undefined) throw new HoldfastError('PERMISSION_DENIED', reason, { outcome: 'not-applied' })
}

/** Addresses of this machine that only it can reach. */
export const LOOPBACK: ReadonlySet<string> = new Set(['127.0.0.1', 'localhost', '::1'])
