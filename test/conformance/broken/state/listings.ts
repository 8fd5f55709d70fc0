/** Backends whose listings miss, repeat or disorder keys. */
import type { StateBackend, StateScan } from '../../../../src/state/contract.ts'
import { compareBytes } from '../../../../src/store/text.ts'
import { broken, byUnits, over, readAll, type Break, type BrokenState } from './wrappers.ts'

export const brokenListings: readonly BrokenState[] = [
  broken('prefix as a LIKE pattern', 'state/listing/prefix', scanning(like)),
  broken(
    'prefix without regard to case',
    'state/listing/prefix',
    scanning((all, { prefix }) => all.filter(startsAlike(prefix))),
  ),
  broken('prefix as a range to the next character', 'state/listing/prefix', scanning(nextCharacter)),
  broken(
    'prefix ignored',
    'state/listing/prefix',
    scanning((all) => all),
  ),
  broken(
    'one page only',
    'state/listing/pages',
    patchScan((scan) => (scan.after === undefined ? scan : undefined)),
  ),
  broken('each page begins with the last key', 'state/listing/pages', inclusiveScan),
  broken('a key lost between pages', 'state/listing/pages', lossyScan),
  broken(
    'order of UTF-16 units',
    'state/listing/order',
    scanning((all, { prefix }) => all.filter((key) => key.startsWith(prefix)), byUnits),
  ),
  broken(
    'the limit is ignored',
    'state/backend/scan',
    patchScan((scan) => ({ ...scan, limit: 10_000 })),
  ),
  broken('a page ends at 1 MB of values', 'state/listing/large-values', weighedScan),
  broken(
    'at most 100 keys',
    'state/listing/default-limit',
    patchScan((scan) => ({ ...scan, limit: Math.min(scan.limit, 100) })),
  ),
  broken(
    'spaces in the order of UTF-16 units',
    'state/workspaces/list',
    patchSpaces((spaces) => spaces.toSorted(byUnits)),
  ),
  broken(
    'a space is listed for each of its keys',
    'state/workspaces/list',
    patchSpaces((spaces) => spaces.flatMap((space) => [space, space])),
  ),
  broken('the default workspace is forgotten', 'state/workspaces/list', (backend) =>
    over(backend, { listSpaces: async (scan) => (scan.prefix === '' ? [] : backend.listSpaces!(scan)) }),
  ),
  broken('spaces are listed on one page only', 'state/workspaces/pages', (backend) =>
    over(backend, { listSpaces: async (scan) => (scan.after === undefined ? backend.listSpaces!(scan) : []) }),
  ),
  broken('spaces that were used once are listed for ever', 'state/workspaces/emptied', rememberedSpaces),
]

function patchSpaces(change: (spaces: string[]) => string[]): Break {
  return (backend) => over(backend, { listSpaces: async (scan) => change(await backend.listSpaces!(scan)).slice(0, scan.limit) })
}

function rememberedSpaces(backend: StateBackend): StateBackend {
  const seen = new Set<string>()
  return over(backend, {
    commit: (space, commit, call) => {
      seen.add(space)
      return backend.commit(space, commit, call)
    },
    listSpaces: async ({ prefix, after = '', limit }) =>
      [...seen]
        .filter((space) => space.startsWith(prefix) && (prefix === '' || compareBytes(space, after) > 0))
        .toSorted(compareBytes)
        .slice(0, limit),
  })
}

/** A scan that sorts the keys chosen from all of the space, and pages by comparing with the last one. */
function scanning(choose: (all: string[], scan: StateScan) => string[], compare = compareBytes): Break {
  return (backend) =>
    over(backend, {
      scan: async (space, scan) => {
        const found = choose(await readAll(backend, space), scan).toSorted(compare)
        return found.filter((key) => scan.after === undefined || compare(key, scan.after) > 0).slice(0, scan.limit)
      },
    })
}

function like(all: string[], { prefix }: StateScan): string[] {
  const source = prefix
    .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    .replaceAll('%', '.*')
    .replaceAll('_', '.')
  return all.filter((key) => new RegExp(`^${source}`, 'su').test(key))
}

function startsAlike(prefix: string): (key: string) => boolean {
  return (key) => key.toLowerCase().startsWith(prefix.toLowerCase())
}

function nextCharacter(all: string[], { prefix }: StateScan): string[] {
  if (prefix === '') return all
  const end = prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)
  return all.filter((key) => key >= prefix && key < end)
}

function patchScan(change: (scan: StateScan) => StateScan | undefined): Break {
  return (backend) =>
    over(backend, {
      scan: async (space, scan) => {
        const changed = change(scan)
        return changed === undefined ? [] : backend.scan(space, changed)
      },
    })
}

function inclusiveScan(backend: StateBackend): StateBackend {
  return over(backend, {
    scan: async (space, scan) => {
      const keys = await backend.scan(space, scan)
      return scan.after === undefined ? keys : [scan.after, ...keys].slice(0, scan.limit)
    },
  })
}

function lossyScan(backend: StateBackend): StateBackend {
  return over(backend, {
    scan: async (space, scan) => (await backend.scan(space, scan)).slice(scan.after === undefined ? 0 : 1),
  })
}

function weighedScan(backend: StateBackend): StateBackend {
  return over(backend, {
    scan: async (space, scan) => {
      const keys = await backend.scan(space, scan)
      const entries = await backend.get(space, keys)
      let bytes = 0
      return keys.filter((_, i) => (bytes += entries[i]?.value.length ?? 0) <= 1_048_576)
    },
  })
}
