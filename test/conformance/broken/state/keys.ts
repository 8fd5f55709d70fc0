/** Backends that take two keys, or two spaces, for one. */
import type { StateBackend } from '../../../../src/state/contract.ts'
import { broken, over, readAll, renamed, type BrokenState } from './wrappers.ts'

export const brokenKeys: readonly BrokenState[] = [
  broken(
    'keys in lower case',
    'state/keys/distinct',
    renamed((key) => key.toLowerCase()),
  ),
  broken(
    'keys trimmed',
    'state/keys/distinct',
    renamed((key) => key.trimEnd() || key),
  ),
  broken(
    'keys normalised',
    'state/keys/distinct',
    renamed((key) => key.normalize('NFC')),
  ),
  broken(
    'keys read as paths',
    'state/keys/hostile',
    renamed((key) => key.replace(/^\.\//, '')),
  ),
  broken(
    'keys cut at 255',
    'state/keys/long',
    renamed((key) => key.slice(0, 255)),
  ),
  broken(
    'the space is ignored',
    'state/common/workspace/isolated',
    renamed(
      (key) => key,
      () => '',
    ),
  ),
  broken(
    'spaces in lower case',
    'state/common/workspace/distinct',
    renamed(
      (key) => key,
      (space) => space.toLowerCase(),
    ),
  ),
  broken('space and key are joined', 'state/backend/no-joined-names', joinedNames),
  broken(
    'names of spaces are cut after 512 bytes',
    'state/backend/longest-names',
    renamed(
      (key) => key,
      (space) => Buffer.from(space).subarray(0, 512).toString('latin1'),
    ),
  ),
  broken('answers come in the order of keys', 'state/many/get', answersSorted),
]

function joinedNames(backend: StateBackend): StateBackend {
  const joined = renamed(
    (key, space) => `${space}:${key}`,
    () => '',
  )(backend)
  return over(joined, {
    scan: async (space, scan) => {
      const all = await readAll(backend, '')
      const found = all.filter((key) => key.startsWith(`${space}:`)).map((key) => key.slice(space.length + 1))
      return found
        .filter((key) => key.startsWith(scan.prefix) && (scan.after === undefined || key > scan.after))
        .slice(0, scan.limit)
    },
  })
}

function answersSorted(backend: StateBackend): StateBackend {
  return over(backend, { get: (space, keys) => backend.get(space, keys.toSorted()) })
}
