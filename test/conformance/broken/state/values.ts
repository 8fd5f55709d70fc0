/** Backends that give other values back than they got. */
import type { StateBackend, StateEntry, StateValue } from '../../../../src/state/contract.ts'
import { broken, byUnits, over, textOf, withValues, type Break, type BrokenState } from './wrappers.ts'

export const brokenValues: readonly BrokenState[] = [
  broken(
    '"123" becomes 123',
    'state/values/types-kept',
    withValues((text) => text.replace(/^"(-?\d+)"$/, '$1')),
  ),
  broken(
    'a number becomes text',
    'state/values/types-kept',
    withValues((text) => text.replace(/^\d+$/, '"$&"')),
  ),
  broken(
    '{} becomes null',
    'state/values/round-trip',
    withValues((text) => text.replaceAll('{}', 'null')),
  ),
  broken('JSON is written anew', 'state/values/negative-zero', withValues(reserialised)),
  broken('the keys of objects are sorted', 'state/values/round-trip', withValues(sortedKeys)),
  broken('text is made well-formed', 'state/values/any-text', withValues(wellFormed)),
  broken(
    'values are cut at 64 KiB',
    'state/values/large',
    withValues((text) => text.slice(0, 65_536)),
  ),
  broken(
    'bytes are decoded as UTF-8',
    'state/bytes/all-values',
    withBytes((bytes) => Buffer.from(bytes).toString()),
  ),
  broken(
    'bytes stay base64',
    'state/bytes/all-values',
    withBytes((bytes) => Buffer.from(bytes).toString('base64')),
  ),
  broken('bytes are cut at a zero', 'state/bytes/looks-like-text', withBytes(cutAtZero)),
  broken(
    'null is missing',
    'state/values/null',
    hiding((text) => text === 'null'),
  ),
  broken(
    'empty bytes are missing',
    'state/bytes/empty',
    hiding((text) => text === ''),
  ),
  broken('live references', 'state/bytes/no-live-references', liveReferences),
]

function reserialised(text: string): string {
  return JSON.stringify(JSON.parse(text))
}

function sortedKeys(text: string): string {
  return JSON.stringify(JSON.parse(text), (_, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => byUnits(a, b)))
      : value,
  )
}

function wellFormed(text: string): string {
  return text.replace(/\\u[dD][89a-fA-F][0-9a-fA-F]{2}/g, '\ufffd')
}

function withBytes(change: (bytes: Uint8Array) => StateValue): Break {
  return (backend) =>
    over(backend, {
      commit: (space, commit) => {
        const set = commit.set?.map((item) => (typeof item.value === 'string' ? item : { ...item, value: change(item.value) }))
        return backend.commit(space, { ...commit, ...(set && { set }) })
      },
    })
}

function cutAtZero(bytes: Uint8Array): Uint8Array {
  const zero = bytes.indexOf(0)
  return zero > 0 ? bytes.slice(0, zero) : bytes
}

function hiding(hidden: (text: string) => boolean): Break {
  return (backend) =>
    over(backend, {
      get: async (space, keys) => {
        const entries = await backend.get(space, keys)
        return entries.map((entry) => (entry && hidden(textOf(entry.value)) ? undefined : entry))
      },
    })
}

function liveReferences(backend: StateBackend): StateBackend {
  const live = new Map<string, StateEntry>()
  return over(backend, {
    get: async (space, keys) => {
      const entries = await backend.get(space, keys)
      return entries.map((entry, i) => {
        if (entry === undefined) return undefined
        const name = `${space}\0${keys[i]}`
        const known = live.get(name)
        if (known?.version === entry.version) return known
        live.set(name, entry)
        return entry
      })
    },
  })
}
