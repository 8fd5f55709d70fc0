/** Commits on Postgres, as scripts: one statement where that is all it takes, else locks first. */
import { changes, changesAlone, rowAlone, rows, type Script } from '../engines/sql.ts'
import { compareBytes } from '../store/text.ts'
import type { StateAdd, StateCommit, StateCommitResult, StateSet, StateValue } from './contract.ts'
import type { ServerStatements } from './sql-server-statements.ts'
import { firstVersion } from './sql.ts'
import { addTo } from './values.ts'

/** Thrown so that what was held is undone. */
export class Refusal extends Error {
  readonly result: StateCommitResult

  constructor(result: StateCommitResult) {
    super('the commit is refused')
    this.result = result
  }
}

const NOTHING: StateCommitResult = { applied: true, deleted: 0, sums: [] }

/** Throws a `Refusal` rather than returning one where it has to be undone. */
export function* runCommit(sql: ServerStatements, space: string, commit: StateCommit): Script<StateCommitResult> {
  const { checks = [], set = [], delete: unwanted = [], add = [] } = commit
  const keys = new Set([...checks, ...set, ...add].map(({ key }) => key).concat(unwanted))
  if (keys.size === 0) return NOTHING
  if (keys.size === 1) {
    const result = yield* commitOne(sql, space, commit)
    if (result !== undefined) return result
  } else if (set.length === keys.size && checks.length === 0 && set.every(({ ttlMs }) => ttlMs !== 'keep')) {
    yield* putAll(
      sql,
      space,
      set.map((each) => toRow(each)),
      [],
    )
    return NOTHING
  }
  return yield* commitHeld(sql, space, commit, [...keys].toSorted(compareBytes))
}

// ── One key ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Undefined where one statement cannot say it; then nothing was changed. */
function* commitOne(sql: ServerStatements, space: string, commit: StateCommit): Script<StateCommitResult | undefined> {
  const { checks = [], set = [], delete: unwanted = [], add = [] } = commit
  const [check, ...others] = checks
  if (others.length > 0 || set.length + unwanted.length + add.length !== 1) return undefined
  if (add[0] !== undefined) return check === undefined ? yield* addOne(sql, space, add[0]) : undefined
  if (check === undefined)
    return set[0] === undefined ? yield* deleteOne(sql, space, unwanted[0]!) : yield* putOne(sql, space, set[0])
  if (set[0] === undefined && check.version === null) return undefined
  const changed = yield* set[0] === undefined
    ? changesAlone(sql.deleteVersion, space, check.key, check.version)
    : putChecked(sql, space, set[0], check.version)
  if (changed === 0) return { applied: false, reason: 'check', key: check.key }
  return { applied: true, deleted: unwanted.length, sums: [] }
}

function* putOne(sql: ServerStatements, space: string, { key, value, ttlMs }: StateSet): Script<StateCommitResult> {
  const values = [space, key, firstVersion(), ...columnsOf(value)]
  if (ttlMs === 'keep') yield* changesAlone(sql.putKeepingTtl, ...values)
  else yield* changesAlone(sql.put, ...values, ttlMs ?? null)
  return NOTHING
}

/** How many rows it changed: none where the check does not hold. An absent key has no TTL to keep. */
function putChecked(
  sql: ServerStatements,
  space: string,
  { key, value, ttlMs }: StateSet,
  version: string | null,
): Script<number> {
  const ttl = ttlMs === 'keep' ? null : (ttlMs ?? null)
  if (version === null) return changesAlone(sql.putIfAbsent, space, key, firstVersion(), ...columnsOf(value), ttl)
  return changesAlone(sql.replace, ...columnsOf(value), ttl, ttlMs === 'keep' ? 1 : 0, space, key, version)
}

function* deleteOne(sql: ServerStatements, space: string, key: string): Script<StateCommitResult> {
  return { applied: true, deleted: yield* changesAlone(sql.delete, space, key), sums: [] }
}

/** Undefined where the sum is refused, or what is there is no plain integer: only holding the key tells which. */
function* addOne(sql: ServerStatements, space: string, add: StateAdd): Script<StateCommitResult | undefined> {
  const { key, by, max = Number.MAX_SAFE_INTEGER } = add
  // Whether an absent key may get this amount must not depend on the moment.
  if (by > max) return undefined
  const greatest = Math.min(max, Number.MAX_SAFE_INTEGER)
  const found = yield* rowAlone<{ sum: number }>(sql.add, space, key, firstVersion(), String(by + 0), by, by, greatest)
  return found && { applied: true, deleted: 0, sums: [found.sum] }
}

// ── Several keys ────────────────────────────────────────────────────────────────────────────────────────────────────

interface HeldRow {
  readonly key: string
  /** It was absent: the row is there only to be held. */
  readonly made: number
  readonly version: number
  readonly live: number
  readonly expires_at: number | null
  /** Only of keys to add to. */
  readonly text: string | null
  readonly bytes: Uint8Array | null
}

type Held = ReadonlyMap<string, HeldRow>

function* commitHeld(
  sql: ServerStatements,
  space: string,
  commit: StateCommit,
  keys: readonly string[],
): Script<StateCommitResult> {
  const held = yield* hold(sql, space, commit, keys)
  const result = judge(commit, held)
  if (result.applied) yield* write(sql, space, commit, result.sums, held)
  else if ([...held.values()].some(({ made }) => made === 1)) throw new Refusal(result)
  return result
}

/** What others made while it waited is held, but not read yet: then it reads once more. */
function* hold(sql: ServerStatements, space: string, { add = [] }: StateCommit, keys: readonly string[]): Script<Held> {
  const [all, added] = [JSON.stringify(keys), JSON.stringify(add.map(({ key }) => key))]
  const held = new Map<string, HeldRow>()
  while (held.size < keys.length) {
    const found = yield* rows<HeldRow>(sql.hold, space, firstVersion(), all, added, space, all)
    for (const row of found) if (held.get(row.key)?.made !== 1) held.set(row.key, row)
  }
  return held
}

/** What a commit comes to where this is what is there. */
function judge({ checks = [], delete: unwanted = [], add = [] }: StateCommit, held: Held): StateCommitResult {
  const present = (key: string): HeldRow | undefined => presentIn(held, key)
  for (const { key, version } of checks) {
    const found = present(key)
    const holds = found === undefined ? version === null : String(found.version) === version
    if (!holds) return { applied: false, reason: 'check', key }
  }
  const sums: number[] = []
  for (const addition of add) {
    const found = present(addition.key)
    const sum = addTo(found && (found.text ?? found.bytes ?? undefined), addition)
    if (typeof sum !== 'number') return { applied: false, reason: sum, key: addition.key }
    sums.push(sum)
  }
  return { applied: true, deleted: unwanted.filter((key) => present(key) !== undefined).length, sums }
}

function presentIn(held: Held, key: string): HeldRow | undefined {
  const found = held.get(key)
  return found?.live === 1 ? found : undefined
}

function* write(
  sql: ServerStatements,
  space: string,
  { set = [], delete: unwanted = [], add = [] }: StateCommit,
  sums: readonly number[],
  held: Held,
): Script<void> {
  const sets = [...set, ...add.map(({ key }, i): StateSet => ({ key, value: String(sums[i]), ttlMs: 'keep' }))]
  const written = new Set(sets.map(({ key }) => key))
  const made = [...held.values()].filter((row) => row.made === 1 && !written.has(row.key)).map(({ key }) => key)
  const toKeep = (key: string): number | null => presentIn(held, key)?.expires_at ?? null
  yield* putAll(
    sql,
    space,
    sets.map((each) => toRow(each, toKeep)),
    [...new Set([...unwanted, ...made])],
  )
}

/** Rows and characters of values that one statement writes. */
const MAX_ROWS = 2_000
const MAX_CHARACTERS = 8_000_000

/** Sets and deletes, in as few statements as it takes; where that is one, and nothing came before, it is a transaction by itself. */
function* putAll(sql: ServerStatements, space: string, rows: readonly Row[], deleted: readonly string[]): Script<void> {
  const batches = batchesOf(rows.toSorted((a, b) => compareBytes(a.key, b.key)).map((row) => JSON.stringify(row)))
  const gone = deleted.length === 0 ? [] : [space, JSON.stringify(deleted)]
  const [first, ...rest] = batches
  if (first === undefined) {
    if (gone.length > 0) yield* changes(sql.deleteMany, ...gone)
    return
  }
  if (gone.length > 0) yield* changes(sql.deleteAndUpsert, ...gone, space, `[${first.join(',')}]`)
  else yield* (rest.length === 0 ? changesAlone : changes)(sql.upsert, space, `[${first.join(',')}]`)
  for (const batch of rest) yield* changes(sql.upsert, space, `[${batch.join(',')}]`)
}

/** As `upsert` takes it. */
interface Row {
  readonly key: string
  readonly version: number
  readonly text: string | null
  readonly bytes: string | null
  readonly ttl: number | null
  readonly expires: number | null
}

/** `toKeep` gives when a key expires whose TTL is to stay. */
function toRow({ key, value, ttlMs }: StateSet, toKeep?: (key: string) => number | null): Row {
  const [text, bytes] = columnsOf(value)
  const base64 = bytes === null ? null : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
  const expires = ttlMs === 'keep' ? (toKeep?.(key) ?? null) : null
  return { key, version: firstVersion(), text, bytes: base64, ttl: ttlMs === 'keep' ? null : (ttlMs ?? null), expires }
}

function batchesOf(texts: readonly string[]): string[][] {
  const batches: string[][] = []
  let size = Infinity
  for (const text of texts) {
    const last = batches.at(-1)
    if (last === undefined || last.length >= MAX_ROWS || size + text.length > MAX_CHARACTERS) {
      batches.push([text])
      size = text.length
    } else {
      last.push(text)
      size += text.length
    }
  }
  return batches
}

/** The columns `text` and `bytes`, of which one is null. */
function columnsOf(value: StateValue): [string, null] | [null, Uint8Array] {
  return typeof value === 'string' ? [value, null] : [null, value]
}
