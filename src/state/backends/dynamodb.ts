/** State in a DynamoDB table: a space is a partition, a key an item of it, and the value one attribute, as plain text, number or bytes. */
import { dynamoOptions, type DynamoOptions } from '../../engines/dynamodb-options.ts'
import { probe } from '../../engines/dynamodb-table.ts'
import { openDynamo, type DynamoEngine } from '../../engines/dynamodb.ts'
import type { BackendCall, Limits } from '../../store/contract.ts'
import { defineBackend } from '../../store/factory.ts'
import type { StateBackend, StateCapabilities, StateCommit, StateCommitResult, StateEntry, StateScan } from '../contract.ts'
import { COMMIT_KEYS, DynamoCommits } from '../dynamodb-commits.ts'
import { toEntry } from '../dynamodb-items.ts'
import { readKeys, readStored } from '../dynamodb-reads.ts'

export type DynamoStateOptions = DynamoOptions

const TABLE = 'holdfast_state'

export const capabilities: StateCapabilities = { bytes: 'native', commitKeys: COMMIT_KEYS }

/** An item holds 400 KB with its names, the longest key and the longest space. */
const limits: Limits = { valueBytes: 408_000, commitBytes: 3_800_000 }

export const create = defineBackend<DynamoStateOptions, StateBackend>(
  dynamoOptions(TABLE),
  async (options, context) => new DynamoState(await openDynamo(options, context, TABLE)),
)

/** It cannot list spaces: for that DynamoDB would read the whole table. */
class DynamoState implements StateBackend {
  readonly capabilities = capabilities
  readonly limits = limits
  readonly #engine: DynamoEngine
  readonly #commits: DynamoCommits

  constructor(engine: DynamoEngine) {
    this.#engine = engine
    this.#commits = new DynamoCommits(engine)
  }

  async get(space: string, keys: readonly string[], call?: BackendCall): Promise<(StateEntry | undefined)[]> {
    if (keys.length === 0) return []
    const now = Date.now()
    const found = await readStored(this.#engine, space, keys, now, call)
    return keys.map((key) => toEntry(found.get(key), now))
  }

  commit(space: string, commit: StateCommit, call?: BackendCall): Promise<StateCommitResult> {
    return this.#commits.run(space, commit, call)
  }

  scan(space: string, scan: StateScan, call?: BackendCall): Promise<string[]> {
    return readKeys(this.#engine, space, scan, call)
  }

  ping(call?: BackendCall): Promise<void> {
    return probe(this.#engine, call)
  }

  async close(): Promise<void> {
    this.#engine.close()
  }
}
