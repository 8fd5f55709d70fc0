/** All sections, in the order of the report. What a section runs is loaded when it runs: the report needs none of it. */
import { peerVectorsProse } from './prose-vectors.ts'
import { EMBEDDED, PEERS, SERVERS, SIZES } from './prose.ts'
import { readRecorded, type Outcome } from './recorded.ts'
import type { Section } from './section.ts'

export const SECTIONS: readonly Section[] = [
  {
    name: 'peers-embedded',
    flag: '--peers',
    title: 'Against what a user would pick instead: conversations, keys and values, start',
    prose: () => PEERS,
    large: true,
    keepsParts: true,
    run: async (names) => {
      const { peers } = await import('../peers/run.ts')
      await peers(names)
      return readRecorded('peers-embedded')?.comparisons ?? []
    },
  },
  {
    name: 'peers-vectors',
    flag: '--peer-vectors',
    title: 'Against what a user would pick instead: vectors',
    prose: peerVectorsProse,
    large: true,
    run: async (names): Promise<Outcome> => {
      const { vectorComparisons } = await import('../peers/vectors.ts')
      return vectorComparisons(names)
    },
  },
  {
    name: 'cold-start',
    flag: '--cold-start',
    title: 'Start-up',
    prose: () => '',
    large: false,
    run: async () => (await import('../cold-start.ts')).coldStart(),
  },
  {
    name: 'embedded',
    flag: '--embedded',
    title: 'The embedded stores against code written by hand',
    prose: () => EMBEDDED,
    large: false,
    run: async () => (await import('../embedded.ts')).embedded(),
  },
  {
    name: 'sizes',
    flag: '--sizes',
    title: 'From a thousand to a million',
    prose: () => SIZES,
    large: true,
    run: async (names) => (await import('../sizes.ts')).sizes(names),
  },
  {
    name: 'async-sqlite',
    flag: '--async-sqlite',
    title: 'The connection in a worker thread',
    prose: () =>
      '`async_sqlite` is the same backend as `sqlite` with its connection in a thread of its own: a call costs more, and the event loop waits less.',
    large: false,
    run: async () => (await import('../async-sqlite.ts')).asyncSqlite(),
  },
  {
    name: 'plugin-storage',
    flag: '--plugin-storage',
    title: 'Plugin storage',
    prose: () =>
      'What plugin storage costs above the state store is its quota: a look at what is there, and a counter in the same transaction.',
    large: false,
    run: async () => (await import('../plugin-storage.ts')).pluginStorage(),
  },
  {
    name: 'vectors',
    flag: '--vectors',
    title: 'Embedded vectors in one process',
    prose: () =>
      'Holdfast and the plain loop in the same process on the same vectors, and what is asked of the embedded scan beside its speed.',
    large: true,
    run: async () => (await import('../vectors.ts')).vectors(),
  },
  {
    name: 'server',
    flag: '--server',
    title: 'The server',
    prose: () =>
      'Plugin storage over HTTP against a bare hono handler that moves the same bytes. Servers and load are processes of their own, and take turns.',
    large: true,
    run: async () => (await import('../server.ts')).server(),
  },
  {
    name: 'dify',
    flag: '--dify',
    title: 'Dify plugins',
    prose: () =>
      'Round trips of a plugin’s storage calls to the host, against storage that is called directly. Python’s lines are there where its SDK is installed.',
    large: true,
    run: async () => (await import('../dify.ts')).dify(),
  },
  {
    name: 'servers',
    flag: '--servers',
    title: 'On servers',
    prose: () => SERVERS,
    large: true,
    run: async (names) => (await import('../servers.ts')).servers(names),
  },
]
