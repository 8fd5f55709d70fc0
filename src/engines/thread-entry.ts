/** Runs in a worker thread: opens backends and calls their methods, as `threaded.ts` asks. */
import { nextTick } from 'node:process'
import { parentPort } from 'node:worker_threads'
import type { BackendBase } from '../store/contract.ts'
import type { AnyFactory, FactoryContext } from '../store/factory.ts'
import { carry, type Answer, type CallQuestion, type Description, type OpenQuestion, type Request } from './thread-protocol.ts'

type Method = (...args: unknown[]) => unknown

const port = parentPort!
const backends = new Map<number, object>()
const running = new Map<number, AbortController>()
let answers: Answer[] = []

port.on('message', (batch: readonly Request[]) => {
  for (const request of batch) {
    if (request.ask === 'abort') running.get(request.id)?.abort()
    else void answerTo(request)
  }
})

async function answerTo(request: Exclude<Request, { ask: 'abort' }>): Promise<void> {
  const { id } = request
  try {
    send({ id, value: request.ask === 'open' ? await open(request) : await call(id, request) })
  } catch (error) {
    const signal = running.get(id)?.signal
    send(signal?.aborted === true && error === signal.reason ? { id, aborted: true } : { id, error: carry(error) })
  } finally {
    running.delete(id)
  }
}

async function open({ store, module, kind, name, options }: OpenQuestion): Promise<Description> {
  const { create } = (await import(module)) as { create: AnyFactory<BackendBase & { readonly capabilities: object }> }
  const loadClient: FactoryContext['loadClient'] = (client) => Promise.reject(new Error(`${client} is not for a worker thread`))
  const backend = await create(options as never, { kind, name, loadClient })
  backends.set(store, backend)
  return { capabilities: backend.capabilities, limits: backend.limits, methods: methodsOf(backend) }
}

async function call(id: number, { store, method, args, abortable }: CallQuestion): Promise<unknown> {
  const backend = backends.get(store)!
  if (method === 'close') backends.delete(store)
  const run = Reflect.get(backend, method) as Method
  if (!abortable) return Reflect.apply(run, backend, args)
  const controller = new AbortController()
  running.set(id, controller)
  return Reflect.apply(run, backend, [...args, { signal: controller.signal }])
}

/** All answers of a turn in one message: writes that were committed together wake the other side once. */
function send(answer: Answer): void {
  if (answers.push(answer) === 1) nextTick(flush)
}

function flush(): void {
  const batch = answers
  answers = []
  try {
    port.postMessage(batch)
  } catch {
    for (const answer of batch) sendAlone(answer)
  }
}

/** What cannot cross fails the call that it belongs to, and no other. */
function sendAlone(answer: Answer): void {
  try {
    port.postMessage([answer])
  } catch (error) {
    port.postMessage([{ id: answer.id, error: carry(error) } satisfies Answer])
  }
}

function methodsOf(backend: object): string[] {
  const names = new Set<string>()
  for (
    let level: object | null = backend;
    level !== null && level !== Object.prototype;
    level = Object.getPrototypeOf(level) as object | null
  ) {
    for (const name of Object.getOwnPropertyNames(level)) {
      if (name !== 'constructor' && typeof Reflect.get(backend, name) === 'function') names.add(name)
    }
  }
  return [...names]
}
