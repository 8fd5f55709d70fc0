/** Which state space holds what. Spaces of different purposes begin differently, so that none can be made to meet another. */

/**
 * The space of a workspace's own keys: `''` for the default workspace, `w:` and its name for every other. Injective, since a name is
 * never empty here. Up to 514 bytes of UTF-8.
 */
export function workspaceSpace(workspace: string): string {
  return workspace === '' ? '' : `w:${workspace}`
}
