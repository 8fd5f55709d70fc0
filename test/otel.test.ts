/** Telemetry, as the real OpenTelemetry SDK exports it. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
  type HistogramMetricData,
} from '@opentelemetry/sdk-metrics'
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider, type ReadableSpan } from '@opentelemetry/sdk-trace'
import {
  ATTR_DB_OPERATION_NAME,
  ATTR_DB_QUERY_SUMMARY,
  ATTR_DB_SYSTEM_NAME,
  ATTR_ERROR_TYPE,
  METRIC_DB_CLIENT_OPERATION_DURATION,
} from '@opentelemetry/semantic-conventions'
import * as conventions from '@opentelemetry/semantic-conventions/incubating'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { CONVERSATION_CATALOGUE } from '../src/conversation/catalogue.ts'
import { HoldfastError } from '../src/errors.ts'
import { CONVERSATION_STORES, KNOWLEDGE_STORES, STATE_STORES, type CallEvent, type CallStart } from '../src/index.ts'
import { KNOWLEDGE_CATALOGUE } from '../src/knowledge/catalogue.ts'
import { enableTelemetry } from '../src/otel/index.ts'
import { systemName } from '../src/otel/systems.ts'
import { STATE_CATALOGUE } from '../src/state/catalogue.ts'
import { StateStore } from '../src/state/store.ts'
import { exec, ROOT } from './support.ts'
import { fakeState } from './registry-support.ts'

beforeAll(() => void context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable()))
afterAll(() => context.disable())

interface Sdk {
  readonly tracerProvider: TracerProvider
  spans(): ReadableSpan[]
  /** The histogram; undefined where nothing was recorded. */
  histogram(): Promise<HistogramMetricData | undefined>
  /** Everything that was exported, as text. */
  everything(): Promise<string>
  disable(): void
}

/** An SDK of its own, with telemetry enabled until the test ends. */
function sdk(): Sdk {
  const spanExporter = new InMemorySpanExporter()
  const tracerProvider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter: spanExporter })] })
  const metricExporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter: metricExporter, exportIntervalMillis: 60_000 })
  const meterProvider = new MeterProvider({ readers: [reader] })
  const disable = enableTelemetry({ tracerProvider, meterProvider })
  onTestFinished(async () => {
    disable()
    await Promise.all([tracerProvider.shutdown(), meterProvider.shutdown()])
  })
  const collect = async (): Promise<ReturnType<InMemoryMetricExporter['getMetrics']>> => {
    metricExporter.reset()
    await meterProvider.forceFlush()
    return metricExporter.getMetrics()
  }
  return {
    tracerProvider,
    disable,
    spans: () => spanExporter.getFinishedSpans(),
    histogram: async () => (await collect())[0]?.scopeMetrics[0]?.metrics[0] as HistogramMetricData | undefined,
    everything: async () => {
      const exported = [spanExporter.getFinishedSpans(), await collect()]
      return inspect(exported, { depth: 20, maxArrayLength: null, maxStringLength: null })
    },
  }
}

async function open<S extends AsyncDisposable>(opening: S | Promise<S>): Promise<S> {
  const store = await opening
  onTestFinished(() => store[Symbol.asyncDispose]())
  return store
}

/** A state store whose backend reads as the test says. */
function storeThatReads(read: () => Promise<void>): Promise<StateStore> {
  const get = async (): Promise<undefined[]> => {
    await read()
    return [undefined]
  }
  return open(new StateStore(fakeState({ get }), { name: 'fake' }))
}

const seconds = ([whole, nanoseconds]: readonly [number, number]): number => whole + nanoseconds / 1e9

describe('a span', () => {
  it('is a client’s, named after method and kind, with the attributes of the conventions', async () => {
    const { spans } = sdk()
    const store = await open(STATE_STORES.create('sync_sqlite', { path: ':memory:' }))
    await store.set('key', 1)
    expect(spans()).toHaveLength(1)
    expect(spans()[0]).toMatchObject({
      name: 'set state',
      kind: SpanKind.CLIENT,
      status: { code: SpanStatusCode.UNSET },
      instrumentationScope: { name: 'holdfast' },
      events: [],
    })
    expect(spans()[0]!.attributes).toEqual({
      [ATTR_DB_SYSTEM_NAME]: conventions.DB_SYSTEM_NAME_VALUE_SQLITE,
      [ATTR_DB_OPERATION_NAME]: 'set',
      [ATTR_DB_QUERY_SUMMARY]: 'set state',
      'holdfast.kind': 'state',
      'holdfast.backend': 'sync_sqlite',
    })
  })

  it('is a child of the caller’s span, also among concurrent calls', async () => {
    const { spans, tracerProvider } = sdk()
    const store = await open(CONVERSATION_STORES.create('async_sqlite', { path: ':memory:' }))
    const request = (id: string): Promise<string> =>
      tracerProvider.getTracer('test').startActiveSpan(`request ${id}`, async (span) => {
        await store.createSession({ id })
        await sleep(1)
        await Promise.all([store.addMessage(id, { role: 'user', content: id }), store.getSession(id)])
        span.end()
        return span.spanContext().spanId
      })
    for (const parent of await Promise.all(['a', 'b', 'c'].map(request))) {
      const children = spans().filter(({ parentSpanContext }) => parentSpanContext?.spanId === parent)
      expect(children.map(({ name }) => name).toSorted()).toEqual([
        'addMessage conversation',
        'createSession conversation',
        'getSession conversation',
      ])
    }
    await store.ping()
    expect(spans().at(-1)!.name).toBe('ping conversation')
    expect(spans().at(-1)!.parentSpanContext).toBeUndefined()
  })

  it('is the active one during the call, so that what a client library traces is its child, and not after it', async () => {
    const { spans, tracerProvider } = sdk()
    const store = await storeThatReads(async () => {
      await sleep(1)
      tracerProvider.getTracer('a client library').startSpan('SELECT').end()
    })
    await store.get('key')
    expect(trace.getActiveSpan()).toBeUndefined()
    const [inner, outer] = spans()
    expect([inner!.name, outer!.name]).toEqual(['SELECT', 'get state'])
    expect(inner!.parentSpanContext?.spanId).toBe(outer!.spanContext().spanId)
  })

  it('lasts as long as the call, retries included, and the histogram says the same', async () => {
    const { spans, histogram } = sdk()
    let attempts = 0
    const store = await storeThatReads(async () => {
      await sleep(30)
      if (attempts++ === 0) throw new HoldfastError('UNAVAILABLE', 'try again')
    })
    await store.get('key')
    expect(spans()).toHaveLength(1)
    expect(seconds(spans()[0]!.duration)).toBeGreaterThan(0.055)
    expect((await histogram())!.dataPoints[0]!.value.sum).toBeCloseTo(seconds(spans()[0]!.duration), 2)
  })

  it('of a call that failed has the code as error.type and status, and the outcome', async () => {
    const { spans } = sdk()
    const store = await open(CONVERSATION_STORES.create('memory'))
    await store.createSession({ id: 's' })
    await expect(store.createSession({ id: 's', name: 'other' })).rejects.toThrow()
    await expect(store.ping({ signal: AbortSignal.abort() })).rejects.toThrow()
    const [, taken, aborted] = spans()
    expect(taken!.status).toEqual({ code: SpanStatusCode.ERROR, message: 'CONFLICT' })
    expect(taken!.attributes).toMatchObject({ [ATTR_ERROR_TYPE]: 'CONFLICT', 'holdfast.outcome': 'not-applied' })
    expect(aborted!.attributes).toMatchObject({ [ATTR_ERROR_TYPE]: 'ABORTED' })
    expect(taken!.events, 'an exception event would hold the message').toEqual([])
  })
})

it('the histogram has the name, unit and buckets of the conventions, and a point for each operation and ending', async () => {
  const { histogram } = sdk()
  const store = await open(STATE_STORES.create('memory'))
  for (let i = 0; i < 5; i++) await store.get('key')
  await store.set('text', 'no number')
  await expect(store.increment('text')).rejects.toThrow()
  const { descriptor, dataPoints } = (await histogram())!
  expect(descriptor).toMatchObject({ name: METRIC_DB_CLIENT_OPERATION_DURATION, unit: 's' })
  const byName = new Map(dataPoints.map((point) => [point.attributes[ATTR_DB_OPERATION_NAME], point]))
  expect(new Set(byName.keys())).toEqual(new Set(['get', 'increment', 'set']))
  expect(byName.get('get')!.value).toMatchObject({ count: 5 })
  expect(byName.get('get')!.value.buckets.boundaries).toEqual([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10])
  expect(byName.get('get')!.attributes).toEqual({
    [ATTR_DB_SYSTEM_NAME]: 'memory',
    [ATTR_DB_OPERATION_NAME]: 'get',
    [ATTR_DB_QUERY_SUMMARY]: 'get state',
    'holdfast.kind': 'state',
    'holdfast.backend': 'memory',
  })
  expect(byName.get('increment')!.attributes).toMatchObject({
    [ATTR_ERROR_TYPE]: 'CONFLICT',
    'holdfast.outcome': 'not-applied',
  })
})

describe('what is exported', () => {
  it('has no id, key, name, value, URL or message of an error in it', async () => {
    const { everything, spans } = sdk()
    const secret = 'PLANTED'
    await useConversation(secret)
    await useKnowledge(secret)
    await useState(secret)
    const text = await everything()
    expect(spans().length).toBeGreaterThan(25)
    expect(spans().filter(({ status }) => status.code === SpanStatusCode.ERROR).length).toBeGreaterThan(4)
    expect(text).toContain('db.client.operation.duration')
    expect(text).not.toContain(secret)
    const names = new Set(spans().flatMap(({ attributes }) => Object.keys(attributes)))
    expect([...names].toSorted()).toEqual([
      ATTR_DB_OPERATION_NAME,
      ATTR_DB_QUERY_SUMMARY,
      ATTR_DB_SYSTEM_NAME,
      ATTR_ERROR_TYPE,
      'holdfast.backend',
      'holdfast.kind',
      'holdfast.outcome',
    ])
  })

  it('ends with disable, but for calls under way', async () => {
    const { spans, histogram, disable } = sdk()
    const store = await storeThatReads(() => sleep(10))
    const calling = store.get('key')
    disable()
    await store.get('key')
    await calling
    await store.get('key')
    disable()
    expect(spans()).toHaveLength(1)
    expect((await histogram())!.dataPoints.map(({ value }) => value.count)).toEqual([1])
  })

  it('begins with enableTelemetry: a call that was under way is left out', async () => {
    const listener = (): void => undefined
    subscribe('holdfast:call', listener)
    onTestFinished(() => void unsubscribe('holdfast:call', listener))
    const store = await storeThatReads(() => sleep(10))
    const calling = store.get('key')
    const { spans, histogram } = sdk()
    await calling
    expect(spans()).toEqual([])
    expect(await histogram()).toBeUndefined()
  })
})

async function useConversation(secret: string): Promise<void> {
  const store = await open(CONVERSATION_STORES.create('sqlite', { path: ':memory:', workspace: secret }))
  const session = { id: secret, userId: secret, agentId: secret, name: secret, metadata: { [secret]: secret } }
  await store.createSession(session)
  await store.addMessage(secret, { id: secret, role: secret, content: secret, parts: [secret], metadata: { [secret]: secret } })
  await store.searchMessages({ text: secret })
  await store.listSessions({ userId: secret, metadata: { [secret]: secret } })
  await store.updateMessage(secret, secret, { content: `${secret} again` })
  for await (const message of store.iterateMessages(secret)) expect(message.id).toBe(secret)
  await expect(store.createSession({ ...session, name: 'x' })).rejects.toThrow(secret)
  await expect(store.addMessage(`${secret}-2`, { role: 'user' })).rejects.toThrow(secret)
  await expect(store.backupTo(`/${secret}/${secret}`)).rejects.toThrow()
  await store.deleteUser(secret)
}

async function useKnowledge(secret: string): Promise<void> {
  const store = await open(KNOWLEDGE_STORES.create('memory', { workspace: secret }))
  await store.createCollection(secret, { dimension: 2 })
  await store.insert(secret, [{ id: secret, content: secret, embedding: [1, 2], metadata: { [secret]: secret } }])
  await store.search(secret, { embedding: [1, 2], filter: { [secret]: secret } })
  await store.get(secret, [secret])
  await store.count(secret, { [secret]: { $ne: secret } })
  await expect(store.count(`${secret}-2`)).rejects.toThrow()
  await store.delete(secret, { filter: { [secret]: secret } })
  await store.deleteCollection(secret)
}

async function useState(secret: string): Promise<void> {
  const store = await open(STATE_STORES.create('memory'))
  const view = store.workspace(secret)
  await view.set(secret, secret)
  await view.hset(`${secret}-hash`, secret, secret)
  await view.keys(`${secret}*`)
  await view.scan({ prefix: secret })
  await view.getMany([secret])
  await expect(view.increment(secret)).rejects.toThrow()
  const url = `redis://user:${secret}@host/?token=${secret}`
  const refused = new Error(`cannot connect to ${url}`, { cause: new Error(url) })
  const backend = fakeState({
    get: () => Promise.reject(refused),
    ping: () => Promise.reject(new HoldfastError('UNAUTHORIZED', url)),
  })
  const failing = await open(new StateStore(backend, { name: 'redis', workspace: secret, retries: 0 }))
  await expect(failing.get(secret)).rejects.toThrow()
  await expect(failing.ping()).rejects.toThrow()
}

describe('db.system.name', () => {
  const wellKnown = new Set(
    Object.entries(conventions).flatMap(([name, value]) => (name.startsWith('DB_SYSTEM_NAME_VALUE_') ? [value as string] : [])),
  )
  const backends = [CONVERSATION_CATALOGUE, KNOWLEDGE_CATALOGUE, STATE_CATALOGUE].flatMap((catalogue) => Object.keys(catalogue))

  it('is the well-known value where there is one', () => {
    expect(wellKnown.size).toBeGreaterThan(30)
    for (const backend of backends) {
      const system = systemName(backend)
      const alike = [...wellKnown].filter((known) => known.split('.').at(-1) === system.split('.').at(-1))
      if (alike.length > 0) expect(alike, backend).toContain(system)
    }
    expect(systemName('pgvector')).toBe(conventions.DB_SYSTEM_NAME_VALUE_POSTGRESQL)
    expect(systemName('postgres')).toBe(conventions.DB_SYSTEM_NAME_VALUE_POSTGRESQL)
  })

  it('names a system, not one of several backends on it', () => {
    for (const backend of backends) expect(systemName(backend)).not.toMatch(/sync_|vector$/)
  })
})

describe('the channels', () => {
  it('publish one object before and after each call, and what is set on it runs the call', async () => {
    const seen: object[] = []
    const order: string[] = []
    const onStart = (message: unknown): void => {
      const call = message as CallStart
      seen.push(call)
      expect(call).toEqual({ kind: 'state', backend: 'fake', method: 'get' })
      call.around = (run) => {
        order.push('around')
        return run()
      }
    }
    const onEnd = (message: unknown): void => {
      const { durationMs, result, outcome } = message as CallEvent
      expect(seen.at(-1)).toBe(message)
      expect(durationMs).toBeGreaterThan(0)
      expect([result, outcome]).toEqual(['ok', undefined])
      order.push('end')
    }
    subscribe('holdfast:call:start', onStart)
    subscribe('holdfast:call', onEnd)
    onTestFinished(() => {
      unsubscribe('holdfast:call:start', onStart)
      unsubscribe('holdfast:call', onEnd)
    })
    const store = await storeThatReads(async () => void order.push('call'))
    await store.get('key')
    expect(order).toEqual(['around', 'call', 'end'])
  })
})

it('importing holdfast loads nothing of OpenTelemetry, importing holdfast/otel nothing but its API', async () => {
  const program = (entry: string): string => `
    import { registerHooks } from 'node:module'
    const files = []
    registerHooks({ load: (url, context, next) => (files.push(url), next(url, context)) })
    await import(${JSON.stringify(`${ROOT}/src/${entry}`)})
    console.log(JSON.stringify(files.filter((url) => url.includes('@opentelemetry')).map((url) => url.split('@opentelemetry/')[1].split('/')[0])))`
  const loaded = async (entry: string): Promise<unknown> => {
    const { stdout } = await exec(process.execPath, ['--input-type=module', '-e', program(entry)])
    return [...new Set(JSON.parse(stdout) as string[])]
  }
  expect(await loaded('index.ts')).toEqual([])
  expect(await loaded('otel/index.ts')).toEqual(['api'])
})
