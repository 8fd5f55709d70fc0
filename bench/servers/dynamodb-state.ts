/** State on DynamoDB against its own client by hand: strongly consistent reads, plain texts, no versions; in the same table. */
import { randomBytes } from 'node:crypto'
import {
  BatchGetItemCommand,
  BatchWriteItemCommand,
  ConditionalCheckFailedException,
  DeleteTableCommand,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  TransactWriteItemsCommand,
  UpdateItemCommand,
  type AttributeValue,
} from '@aws-sdk/client-dynamodb'
import type { Service } from '../../scripts/services/home.ts'
import { STATE_STORES } from '../../src/index.ts'
import type { Prepared, ServerBench } from './frame.ts'
import { stateComparisons, type StateByHand } from './state-operations.ts'

export const dynamodbState: ServerBench = {
  title: 'dynamodb: state',
  service: 'dynamodb',
  sides: ['aws-sdk', 'holdfast'],
  prepare,
}

async function prepare(service: Service): Promise<Prepared> {
  const { url } = service
  const { region, accessKeyId, secretAccessKey } = service as Service & Place
  const table = `bench_${randomBytes(4).toString('hex')}`
  const credentials = { accessKeyId, secretAccessKey }
  const client = new DynamoDBClient({ endpoint: url, region, credentials })
  const store = await STATE_STORES.create('dynamodb', { url, table, region, credentials })
  const close = async (): Promise<void> => {
    await store.close()
    await client.send(new DeleteTableCommand({ TableName: table }))
    client.destroy()
  }
  return { comparisons: await stateComparisons(byHand(client, table), store, { single: 500, batch: 50 }), close }
}

interface Place {
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

type Item = Record<string, AttributeValue>

/** DynamoDB takes so many writes in one batch. */
const WRITES_PER_BATCH = 25
const SPACE = { B: Buffer.from('by hand') }
const PLACEHOLDERS = { '#expires': 'expiresAt' }

function byHand(client: DynamoDBClient, TableName: string): StateByHand {
  return { ...onOne(client, TableName), ...onMany(client, TableName) }
}

const keyOf = (key: string): Item => ({ space: SPACE, key: { B: Buffer.from(key) } })
const itemOf = (key: string, value: unknown): Item => ({ ...keyOf(key), value: { S: JSON.stringify(value) } })
const now = (): Item => ({ ':now': { N: String(Date.now()) } })

function onOne(
  client: DynamoDBClient,
  TableName: string,
): Pick<StateByHand, 'ping' | 'get' | 'set' | 'setFor' | 'increment' | 'setIfAbsent'> {
  return {
    ping: () => client.send(new GetItemCommand({ TableName, Key: keyOf('nothing') })),
    get: async (key) =>
      valueOf((await client.send(new GetItemCommand({ TableName, Key: keyOf(key), ConsistentRead: true }))).Item),
    set: (key, value) => client.send(new PutItemCommand({ TableName, Item: itemOf(key, value) })),
    setFor: (key, value, seconds) => {
      const expiresAt = { N: String(Date.now() + seconds * 1_000) }
      return client.send(new PutItemCommand({ TableName, Item: { ...itemOf(key, value), expiresAt } }))
    },
    increment: (key) =>
      client.send(
        new UpdateItemCommand({
          TableName,
          Key: keyOf(key),
          UpdateExpression: 'ADD #value :one',
          ExpressionAttributeNames: { '#value': 'value' },
          ExpressionAttributeValues: { ':one': { N: '1' } },
          ReturnValues: 'UPDATED_NEW',
        }),
      ),
    setIfAbsent: (key, value) =>
      client
        .send(
          new PutItemCommand({
            TableName,
            Item: itemOf(key, value),
            ConditionExpression: 'attribute_not_exists(#key) OR #expires <= :now',
            ExpressionAttributeNames: { '#key': 'key', ...PLACEHOLDERS },
            ExpressionAttributeValues: now(),
          }),
        )
        .catch(unlessTaken),
  }
}

function onMany(client: DynamoDBClient, TableName: string): Pick<StateByHand, 'setMany' | 'setTogether' | 'getMany' | 'scan'> {
  return {
    setMany: (entries) => {
      const requests = Array.from(entries, ([key, value]) => ({ PutRequest: { Item: itemOf(key, value) } }))
      const starts = Array.from({ length: Math.ceil(requests.length / WRITES_PER_BATCH) }, (_, i) => i * WRITES_PER_BATCH)
      const batches = starts.map((at) => requests.slice(at, at + WRITES_PER_BATCH))
      return Promise.all(batches.map((batch) => client.send(new BatchWriteItemCommand({ RequestItems: { [TableName]: batch } }))))
    },
    setTogether: (entries) => {
      const TransactItems = Array.from(entries, ([key, value]) => ({ Put: { TableName, Item: itemOf(key, value) } }))
      return client.send(new TransactWriteItemsCommand({ TransactItems }))
    },
    getMany: async (keys) => {
      const RequestItems = { [TableName]: { Keys: keys.map(keyOf), ConsistentRead: true } }
      const { Responses } = await client.send(new BatchGetItemCommand({ RequestItems }))
      const found = new Map(Responses![TableName]!.map((item) => [nameOf(item), valueOf(item)]))
      return keys.map((key) => found.get(key))
    },
    scan: async (prefix, limit) => {
      const { Items } = await client.send(
        new QueryCommand({
          TableName,
          KeyConditionExpression: '#space = :space AND begins_with(#key, :prefix)',
          FilterExpression: 'attribute_not_exists(#expires) OR #expires > :now',
          ProjectionExpression: '#key',
          ExpressionAttributeNames: { '#space': 'space', '#key': 'key', ...PLACEHOLDERS },
          ExpressionAttributeValues: { ':space': SPACE, ':prefix': { B: Buffer.from(prefix) }, ...now() },
          ConsistentRead: true,
          Limit: limit + 1,
        }),
      )
      return { keys: Items!.slice(0, limit).map(nameOf), more: Items!.length > limit }
    },
  }
}

function nameOf(item: Item): string {
  return Buffer.from(item['key']!.B!).toString()
}

/** An expired item is as good as none. */
function valueOf(item: Item | undefined): unknown {
  if (item === undefined || Number(item['expiresAt']?.N ?? Infinity) <= Date.now()) return undefined
  return JSON.parse(item['value']!.S!)
}

function unlessTaken(error: unknown): false {
  if (error instanceof ConditionalCheckFailedException) return false
  throw error
}
