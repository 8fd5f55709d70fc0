/** The one table: what it is like, and how any number of clients that start at once come to have it. */
import { setTimeout as sleep } from 'node:timers/promises'
import { HoldfastError, isHoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import { faultOf } from './dynamodb-errors.ts'
import type { DynamoEngine } from './dynamodb.ts'

/** Milliseconds; DynamoDB takes some seconds to make a table. */
const MAX_WAIT_MS = 120_000
const POLL_MS = 250

/** The attribute by which DynamoDB removes expired items, in seconds since 1970. */
export const TTL_ATTRIBUTE = 'ttl'

/**
 * Keys are binary, of UTF-8, so that their order is bytewise whatever wrote them. A table of these keys that was made elsewhere, with
 * provisioned capacity, encryption or replicas, serves as well.
 */
function definition(table: string): object {
  return {
    TableName: table,
    AttributeDefinitions: [
      { AttributeName: 'space', AttributeType: 'B' },
      { AttributeName: 'key', AttributeType: 'B' },
    ],
    KeySchema: [
      { AttributeName: 'space', KeyType: 'HASH' },
      { AttributeName: 'key', KeyType: 'RANGE' },
    ],
    BillingMode: 'PAY_PER_REQUEST',
  }
}

/** Reads a key that is not there: it asks for no more rights than the data does, and tells a table with other keys from ours. */
export async function probe(engine: DynamoEngine, call?: BackendCall): Promise<void> {
  const nothing = { B: Uint8Array.of(0) }
  await engine.read('GetItem', { TableName: engine.table, Key: { space: nothing, key: nothing } }, call)
}

/** Missing without `autoCreate`: `NOT_FOUND`. */
export async function prepareTable(engine: DynamoEngine, autoCreate: boolean): Promise<void> {
  try {
    await probe(engine)
  } catch (error) {
    if (!isHoldfastError(error, 'NOT_FOUND')) throw error
    if (!autoCreate) throw missing(engine.table, error)
    await createTable(engine)
  }
  if (autoCreate) await expireItems(engine)
}

function missing(table: string, cause: unknown): HoldfastError {
  const remedy = 'create it with a partition key `space` and a sort key `key`, both binary (B), or let `autoCreate` do it'
  return new HoldfastError('NOT_FOUND', `there is no table "${table}" in this region: ${remedy}`, { cause })
}

async function createTable(engine: DynamoEngine): Promise<void> {
  const deadline = Date.now() + MAX_WAIT_MS
  while (Date.now() < deadline) {
    const status = await statusOf(engine)
    if (status === 'ACTIVE') return probe(engine)
    // Whoever is second finds it in use.
    if (status === undefined) await engine.read('CreateTable', definition(engine.table)).catch(unlessInUse)
    else await sleep(POLL_MS)
  }
  throw new HoldfastError('UNAVAILABLE', `the table "${engine.table}" was not ready within ${MAX_WAIT_MS / 1_000} s`)
}

/** Undefined where there is no table. */
async function statusOf(engine: DynamoEngine): Promise<string | undefined> {
  try {
    const found = await engine.read<{ Table?: { TableStatus?: string } }>('DescribeTable', { TableName: engine.table })
    return found.Table?.TableStatus ?? 'CREATING'
  } catch (error) {
    if (isHoldfastError(error, 'NOT_FOUND')) return undefined
    throw error
  }
}

function unlessInUse(error: unknown): void {
  if (faultOf(faultOf(error).cause).name !== 'ResourceInUseException') throw error
}

interface TtlDescription {
  readonly TimeToLiveDescription?: { readonly TimeToLiveStatus?: string }
}

/** Nothing depends on it but the room that expired items take: whoever may not set it does without. */
async function expireItems(engine: DynamoEngine): Promise<void> {
  const TableName = engine.table
  try {
    const found = await engine.read<TtlDescription>('DescribeTimeToLive', { TableName })
    if (found.TimeToLiveDescription?.TimeToLiveStatus !== 'DISABLED') return
    const TimeToLiveSpecification = { Enabled: true, AttributeName: TTL_ATTRIBUTE }
    await engine.read('UpdateTimeToLive', { TableName, TimeToLiveSpecification })
  } catch (error) {
    // `INVALID_ARGUMENT`: another client has just done it.
    if (!isHoldfastError(error, 'UNAUTHORIZED') && !isHoldfastError(error, 'INVALID_ARGUMENT')) throw error
  }
}
