/** What the budget is about: the calls that agents make all the time. */

/** One of them, by the name that it has in the budget. */
export interface HotPath {
  readonly name: string
  /** How often it is counted, after as many calls to warm up. Default 50. */
  readonly calls?: number
  /** Calls it once; `i` rises with every call of the group. */
  run(i: number): Promise<unknown>
}

export interface Group extends AsyncDisposable {
  readonly paths: readonly HotPath[]
}

/** Opens a group in a process of its own and in a folder of its own. */
export type OpenGroup = (folder: string) => Promise<Group>

export const GROUPS = {
  store: async () => (await import('./paths/store.ts')).open,
  conversation: async () => (await import('./paths/conversation.ts')).open,
  knowledge: async () => (await import('./paths/knowledge.ts')).open,
  state: async () => (await import('./paths/state.ts')).open,
  'plugin storage': async () => (await import('./paths/plugin-storage.ts')).open,
  server: async () => (await import('./paths/server.ts')).open,
  dify: async () => (await import('./paths/dify.ts')).open,
} satisfies Record<string, () => Promise<OpenGroup>>

export type GroupName = keyof typeof GROUPS

/** A thousand bytes of text, of which no two are alike. */
export function kilobyte(i: number): string {
  return `${String(i).padStart(8, '0')} ${'All work and no play makes a dull log line. '.repeat(24)}`.slice(0, 1_024)
}

export function times<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i))
}
