/** Which state space holds what. Spaces of different purposes begin differently, so that none can be made to meet another. */

import type { WorkspaceRecordQuery } from '../store/contract.ts'
import type { StateScan } from './contract.ts'

const WORKSPACE_PREFIX = 'w:'

/**
 * The space of a workspace's own keys: `''` for the default workspace, `w:` and its name for every other. Injective, since a name is
 * never empty here. Up to 514 bytes of UTF-8.
 */
export function workspaceSpace(workspace: string): string {
  return workspace === '' ? '' : `${WORKSPACE_PREFIX}${workspace}`
}

/** One page of the workspaces whose spaces a backend lists. The default one comes first, as in bytewise order of names. */
export async function workspacesOf(
  listSpaces: (scan: StateScan) => Promise<string[]>,
  { after, limit }: WorkspaceRecordQuery,
): Promise<string[]> {
  const first = after === undefined ? await listSpaces({ prefix: '', limit: 1 }) : []
  const byDefault = first[0] === '' ? [''] : []
  const behind = after === undefined || after === '' ? undefined : workspaceSpace(after)
  const spaces = await listSpaces({ prefix: WORKSPACE_PREFIX, after: behind, limit })
  return [...byDefault, ...spaces.map((space) => space.slice(WORKSPACE_PREFIX.length))].slice(0, limit)
}
