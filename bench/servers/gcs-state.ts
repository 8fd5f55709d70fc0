/**
 * State on Cloud Storage against `fetch` of the very same requests, without the client library: this one takes two where the store takes
 * one to read a value together with its generation.
 */
import { randomUUID } from 'node:crypto'
import type { Service } from '../../scripts/services/home.ts'
import { STATE_STORES } from '../../src/index.ts'
import type { Prepared, ServerBench } from './frame.ts'
import { stateComparisons, type StateByHand } from './state-operations.ts'

export const gcsState: ServerBench = {
  title: 'gcs: state',
  service: 'gcs',
  sides: ['fetch', 'holdfast'],
  prepare,
}

/** Requests under way at a time, as many as the store has. */
const WIDTH = 32

async function prepare({ url }: Service): Promise<Prepared> {
  const bucket = `bench-${randomUUID()}`
  await ask(`${url}/storage/v1/b?project=bench`, { method: 'POST', body: JSON.stringify({ name: bucket }), headers: JSON_TYPE })
  const store = await STATE_STORES.create('gcs', { bucket, apiEndpoint: url })
  const close = async (): Promise<void> => {
    await store.close()
    await removeBucket(url, bucket)
  }
  return { comparisons: await stateComparisons(byHand(url, bucket), store, { single: 400, batch: 30 }), close }
}

const JSON_TYPE = { 'content-type': 'application/json' }

interface Answer {
  readonly status: number
  readonly text: string
}

async function ask(address: string, init?: RequestInit): Promise<Answer> {
  const response = await fetch(address, init)
  const text = await response.text()
  if (!response.ok && response.status !== 412) throw new Error(`${address}: ${response.status} ${text}`)
  return { status: response.status, text }
}

function byHand(url: string, bucket: string): StateByHand {
  const objects = `${url}/storage/v1/b/${bucket}/o`
  const nameOf = (key: string): string => `by-hand/${key}`
  const upload = (key: string, text: string, over?: string): Promise<Answer> => {
    const condition = over === undefined ? '' : `&ifGenerationMatch=${over}`
    const to = `${url}/upload/storage/v1/b/${bucket}/o?uploadType=multipart&fields=generation${condition}`
    return ask(to, multipart(nameOf(key), text))
  }
  const get = async (key: string): Promise<unknown> =>
    JSON.parse((await ask(`${url}/${bucket}/${encodeURIComponent(nameOf(key))}`)).text)
  const list = (prefix: string, limit: number): Promise<Answer> =>
    ask(
      `${objects}?prefix=${encodeURIComponent(prefix)}&maxResults=${limit}&fields=items(name,generation,metadata),nextPageToken`,
    )
  const counters = new Map<string, { readonly sum: number; readonly generation: string }>()
  return {
    ping: () => list('by-hand/', 1),
    get,
    set: (key, value) => upload(key, JSON.stringify(value)),
    // What the last answer said is remembered, so that it takes one request, which expects that nobody else has written.
    increment: async (key) => {
      const { sum, generation } = counters.get(key) ?? { sum: 0, generation: '0' }
      const { text } = await upload(key, String(sum + 1), generation)
      counters.set(key, { sum: sum + 1, generation: (JSON.parse(text) as { generation: string }).generation })
    },
    // What is there may have expired, so it is looked at.
    setIfAbsent: async (key, value) => {
      const { status } = await upload(key, JSON.stringify(value), '0')
      return status !== 412 || ask(`${objects}/${encodeURIComponent(nameOf(key))}?fields=name,generation,metadata`)
    },
    setMany: (entries) => inParallel([...entries], ([key, value]) => upload(key, JSON.stringify(value))),
    getMany: (keys) => inParallel(keys, get),
    scan: async (prefix, limit) => {
      const { items } = JSON.parse((await list(nameOf(prefix), limit + 1)).text) as { items: { name: string }[] }
      return { keys: items.slice(0, limit).map(({ name }) => name.slice(nameOf('').length)), more: items.length > limit }
    },
  }
}

function multipart(name: string, text: string): RequestInit {
  const boundary = `bench-${randomUUID()}`
  const part = (type: string, content: string): string => `--${boundary}\r\nContent-Type: ${type}\r\n\r\n${content}\r\n`
  const resource = JSON.stringify({ name, contentType: 'application/json', cacheControl: 'no-store' })
  return {
    method: 'POST',
    headers: { 'content-type': `multipart/related; boundary=${boundary}` },
    body: `${part('application/json; charset=UTF-8', resource)}${part('application/json', text)}--${boundary}--\r\n`,
  }
}

async function inParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  const pending = items.entries()
  const worker = async (): Promise<void> => {
    for (const [i, item] of pending) results[i] = await work(item)
  }
  await Promise.all(Array.from({ length: WIDTH }, worker))
  return results
}

async function removeBucket(url: string, bucket: string): Promise<void> {
  const at = `${url}/storage/v1/b/${bucket}`
  for (;;) {
    const { items = [] } = JSON.parse((await ask(`${at}/o?maxResults=1000&fields=items(name)`)).text) as {
      items?: { name: string }[]
    }
    if (items.length === 0) break
    await inParallel(items, ({ name }) => ask(`${at}/o/${encodeURIComponent(name)}`, { method: 'DELETE' }))
  }
  await ask(at, { method: 'DELETE' })
}
