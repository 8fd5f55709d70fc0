/** The commits on one DynamoDB table: their bounds, and what they may know of each other. */
import type { DynamoEngine } from '../engines/dynamodb.ts'
import { HoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import type { StateCommit, StateCommitResult } from './contract.ts'
import { CommitRun } from './dynamodb-commit.ts'
import { actionsOf, type Action, type Seen } from './dynamodb-writes.ts'
import { Turns } from './turns.ts'

/** DynamoDB takes so many actions in one transaction. */
export const COMMIT_KEYS = 100
/** And so many bytes; keys, versions and TTLs take some of them. */
const COMMIT_BYTES = 4 * 1024 * 1024
const ITEM_OVERHEAD_BYTES = 1_200
/** Sums remembered, of some 100 bytes each. */
const MAX_LAST_SUMS = 1_000
/** Commits on one table. */
export class DynamoCommits {
  readonly #engine: DynamoEngine
  readonly #sums = new LastSums()
  readonly #turns = new Turns()

  constructor(engine: DynamoEngine) {
    this.#engine = engine
  }

  async run(space: string, commit: StateCommit, call: BackendCall = {}): Promise<StateCommitResult> {
    const actions = actionsOf(commit)
    if (!Array.isArray(actions)) return actions
    checkSize(actions)
    if (actions.length === 0) return { applied: true, deleted: 0, sums: [] }
    const work = (): Promise<StateCommitResult> =>
      new CommitRun({ engine: this.#engine, sums: this.#sums, space, commit, actions, call }).result()
    // Transactions of this process that add to the same key would only cancel each other.
    const shared = actions.length === 1 ? undefined : commit.add?.[0]?.key
    return shared === undefined ? work() : this.#turns.take(`${space}\0${shared}`, work)
  }
}

/** Sums of additions that this process made: while nobody else adds, they need not be read. */
export class LastSums {
  readonly #sums = new Map<string, Seen>()

  get(space: string, key: string): Seen | undefined {
    return this.#sums.get(`${space}\0${key}`)
  }

  keep(space: string, key: string, seen: Seen | undefined): void {
    const name = `${space}\0${key}`
    this.#sums.delete(name)
    if (seen === undefined) return
    this.#sums.set(name, seen)
    if (this.#sums.size > MAX_LAST_SUMS) this.#sums.delete(this.#sums.keys().next().value!)
  }
}

function checkSize(actions: readonly Action[]): void {
  const refuse = (code: 'UNSUPPORTED' | 'VALUE_TOO_LARGE', what: string): never => {
    throw new HoldfastError(code, `a commit of ${what}: DynamoDB takes up to ${COMMIT_KEYS} keys and 4 MB in one`, {
      outcome: 'not-applied',
    })
  }
  if (actions.length > COMMIT_KEYS) refuse('UNSUPPORTED', `${actions.length} keys`)
  const bytes = actions.reduce(
    (sum, { set }) => sum + (set === undefined ? 0 : Buffer.byteLength(set.value) + ITEM_OVERHEAD_BYTES),
    0,
  )
  if (actions.length > 1 && bytes > COMMIT_BYTES) refuse('VALUE_TOO_LARGE', `${bytes} bytes`)
}
