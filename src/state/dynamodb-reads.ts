/** Reading from a DynamoDB table: any number of keys, and the keys of a space in their order. Every read is strongly consistent. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { DynamoEngine, DynamoItem } from '../engines/dynamodb.ts'
import { HoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import type { StateScan } from './contract.ts'
import { decodeName, encodeName, itemKey, readItem, type Stored } from './dynamodb-items.ts'

const KEYS_PER_BATCH = 100
const BATCHES_AT_ONCE = 4
/** Answers in a row that leave out everything: DynamoDB is throttling. */
const MAX_EMPTY = 8
const MAX_BACKOFF_MS = 2_000
/** Items read at once where expired ones are in the way. */
const MAX_PAGE = 1_000

/** What is there under the keys, expired items left out. */
export async function readStored(
  engine: DynamoEngine,
  space: string,
  keys: readonly string[],
  now: number,
  call?: BackendCall,
): Promise<ReadonlyMap<string, Stored>> {
  const found = new Map<string, Stored>()
  const keep = (key: string, item: DynamoItem | undefined): void => {
    const stored = readItem(item, now)
    if (stored !== undefined) found.set(key, stored)
  }
  if (keys.length === 1) keep(keys[0]!, await readOne(engine, space, keys[0]!, call))
  else for (const item of await readMany(engine, space, [...new Set(keys)], call)) keep(nameOf(item), item)
  return found
}

async function readOne(engine: DynamoEngine, space: string, key: string, call?: BackendCall): Promise<DynamoItem | undefined> {
  const input = { TableName: engine.table, Key: itemKey(space, key), ConsistentRead: true }
  return (await engine.read<{ Item?: DynamoItem }>('GetItem', input, call)).Item
}

/** DynamoDB refuses a batch that names a key twice. */
async function readMany(engine: DynamoEngine, space: string, keys: readonly string[], call?: BackendCall): Promise<DynamoItem[]> {
  const found: DynamoItem[] = []
  const starts = Array.from({ length: Math.ceil(keys.length / KEYS_PER_BATCH) }, (_, i) => i * KEYS_PER_BATCH).values()
  const worker = async (): Promise<void> => {
    for (const at of starts) {
      const Keys = keys.slice(at, at + KEYS_PER_BATCH).map((key) => itemKey(space, key))
      for await (const items of batches(engine, Keys, call)) found.push(...items)
    }
  }
  await Promise.all(Array.from({ length: BATCHES_AT_ONCE }, worker))
  return found
}

interface BatchAnswer {
  readonly Responses?: Readonly<Record<string, readonly DynamoItem[]>>
  readonly UnprocessedKeys?: Readonly<Record<string, { readonly Keys?: readonly DynamoItem[] }>>
}

/** An answer holds 16 MB at most, and what is throttled is left out. */
async function* batches(
  engine: DynamoEngine,
  keys: readonly DynamoItem[],
  call?: BackendCall,
): AsyncGenerator<readonly DynamoItem[]> {
  let wanted = keys
  for (let empty = 0; wanted.length > 0;) {
    const RequestItems = { [engine.table]: { Keys: wanted, ConsistentRead: true } }
    const answer = await engine.read<BatchAnswer>('BatchGetItem', { RequestItems }, call)
    yield answer.Responses?.[engine.table] ?? []
    const left = answer.UnprocessedKeys?.[engine.table]?.Keys ?? []
    empty = left.length < wanted.length ? 0 : empty + 1
    if (empty > 0) await waitForRoom(empty, call)
    wanted = left
  }
}

async function waitForRoom(empty: number, call: BackendCall | undefined): Promise<void> {
  if (empty >= MAX_EMPTY)
    throw new HoldfastError('RATE_LIMITED', `DynamoDB leaves out what was asked for, ${empty} times in a row`)
  await sleep(Math.random() * Math.min(MAX_BACKOFF_MS, 50 * 2 ** empty))
  call?.signal?.throwIfAborted()
}

interface Page {
  readonly Items?: readonly DynamoItem[]
  readonly LastEvaluatedKey?: DynamoItem
}

/** One page of keys in bytewise order, fewer only where no more follow. */
export async function readKeys(engine: DynamoEngine, space: string, scan: StateScan, call?: BackendCall): Promise<string[]> {
  const range = rangeOf(scan)
  if (Buffer.compare(range.from, range.to) > 0) return []
  const keys: string[] = []
  let start: DynamoItem | undefined
  let size = scan.limit
  do {
    const page = await engine.read<Page>('Query', query(engine.table, space, range, size, start), call)
    for (const item of page.Items ?? []) keys.push(nameOf(item))
    start = page.LastEvaluatedKey
    // The limit counts items that the filter leaves out.
    size = Math.max(size, Math.min(MAX_PAGE, size * 2))
  } while (keys.length < scan.limit && start !== undefined)
  return keys.slice(0, scan.limit)
}

interface Range {
  readonly from: Uint8Array
  readonly to: Uint8Array
}

/** Both ends included. No UTF-8 holds the byte 255, so that everything with the prefix lies before the prefix and this byte. */
function rangeOf({ prefix, after }: StateScan): Range {
  const begin = prefix === '' ? Uint8Array.of(0) : encodeName(prefix)
  const to = Buffer.concat([prefix === '' ? Uint8Array.of() : begin, Uint8Array.of(255)])
  if (after === undefined) return { from: begin, to }
  const behind = Buffer.concat([encodeName(after), Uint8Array.of(0)])
  return { from: Buffer.compare(behind, begin) > 0 ? behind : begin, to }
}

function query(table: string, space: string, { from, to }: Range, size: number, start: DynamoItem | undefined): object {
  return {
    TableName: table,
    KeyConditionExpression: '#space = :space AND #key BETWEEN :from AND :to',
    FilterExpression: 'attribute_not_exists(#expires) OR #expires > :now',
    ProjectionExpression: '#key',
    ExpressionAttributeNames: { '#space': 'space', '#key': 'key', '#expires': 'expiresAt' },
    ExpressionAttributeValues: {
      ':space': { B: encodeName(space) },
      ':from': { B: from },
      ':to': { B: to },
      ':now': { N: String(Date.now()) },
    },
    ConsistentRead: true,
    Limit: size,
    ...(start === undefined ? {} : { ExclusiveStartKey: start }),
  }
}

function nameOf(item: DynamoItem): string {
  const key = item['key']
  if (key !== undefined && 'B' in key) return decodeName(key.B)
  throw new HoldfastError('CORRUPT', 'an item without a binary `key`')
}
