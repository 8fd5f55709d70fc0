/** Runs conformance cases against a harness, by itself or under a test runner, and wires outages into backends that have no wire. */
import { randomUUID } from 'node:crypto'
import { HoldfastError } from '../errors.ts'
import type { Conformable, ConformanceCase, Harness, Trial, View } from './case.ts'
import { checkDecoys, plantDecoys } from './decoys.ts'

export type CaseOutcome =
  | { readonly status: 'passed' }
  | { readonly status: 'failed'; readonly error: unknown }
  | { readonly status: 'not-run'; readonly reason: string }

export type CaseResult = CaseOutcome & { readonly id: string; readonly sentence: string; readonly durationMs: number }

export interface ConformanceReport {
  /** Of the stores that the harness opened; undefined where none opened. */
  readonly kind: string | undefined
  readonly backend: string | undefined
  readonly capabilities: unknown
  readonly view: View
  readonly passed: number
  readonly failed: number
  readonly notRun: number
  /** In the order of the cases. */
  readonly results: readonly CaseResult[]
}

export interface ConformanceRun<S> {
  readonly cases: readonly ConformanceCase<S>[]
  readonly harness: Harness<S>
  /** Default `default`. */
  readonly view?: View | undefined
  /** Only these cases: an id, or the beginning of ids up to a `/` (`conversation/append`). Default: all. */
  readonly only?: readonly string[] | undefined
  /** Cases at a time. Default 1. */
  readonly concurrency?: number | undefined
  /** Milliseconds a case may take, and its cleaning up again. Default 60,000. */
  readonly timeoutMs?: number | undefined
  /** Called after each case, for progress. */
  readonly onResult?: ((result: CaseResult) => void) | undefined
}

const DEFAULT_TIMEOUT_MS = 60_000

/** Runs the cases, each over a fresh store. It rejects for nothing that a backend does: what goes wrong is in the report. */
export async function runConformance<S extends Conformable>(run: ConformanceRun<S>): Promise<ConformanceReport> {
  const { harness, view = 'default', timeoutMs = DEFAULT_TIMEOUT_MS } = run
  const cases = run.cases.filter(({ id }) => chosen(id, run.only))
  const results: CaseResult[] = []
  let about: About = {}
  const pending = cases.entries()
  const worker = async (): Promise<void> => {
    for (const [index, testCase] of pending) {
      const result = await runCase(testCase, harness, view, timeoutMs, (store) => (about = aboutOf(store)))
      results[index] = result
      run.onResult?.(result)
    }
  }
  await Promise.all(Array.from({ length: Math.max(1, run.concurrency ?? 1) }, worker))
  const count = (status: CaseResult['status']): number => results.filter((result) => result.status === status).length
  return {
    kind: about.kind,
    backend: about.backend,
    capabilities: about.capabilities,
    view,
    passed: count('passed'),
    failed: count('failed'),
    notRun: count('not-run'),
    results,
  }
}

/** What `describe` and `it` of vitest and `node:test` have in common. */
export interface TestRunner {
  describe(name: string, body: () => void): unknown
  it(name: string, options: { timeout: number }, body: (context: { skip(reason?: string): unknown }) => Promise<void>): unknown
}

export interface ConformanceDefinition<S> {
  /** Title of the outer block, usually the backend's name. */
  readonly name: string
  readonly cases: readonly ConformanceCase<S>[]
  readonly harness: Harness<S>
  /** Default: both. */
  readonly views?: readonly View[] | undefined
  /** Milliseconds a case may take. Default 60,000. */
  readonly timeoutMs?: number | undefined
}

/** Registers every case as a test of its own in both views; a case that cannot run is skipped by name, with its reason. */
export function defineConformance<S extends Conformable>(runner: TestRunner, definition: ConformanceDefinition<S>): void {
  const { name, cases, harness, views = ['default', 'workspace'], timeoutMs = DEFAULT_TIMEOUT_MS } = definition
  for (const view of views) {
    runner.describe(`${name}, ${view} view`, () => {
      for (const testCase of cases) {
        // The runner's own limit is only the last resort: cleaning up has as long as the case.
        runner.it(`${testCase.id}: ${testCase.sentence}`, { timeout: 2 * timeoutMs + 1_000 }, async (context) => {
          const result = await runCase(testCase, harness, view, timeoutMs)
          if (result.status === 'failed') throw result.error
          if (result.status === 'not-run') context.skip(result.reason)
        })
      }
    })
  }
}

/** Runs one case over a fresh store, then heals, closes and disposes of everything it used. */
export async function runCase<S extends Conformable>(
  testCase: ConformanceCase<S>,
  harness: Harness<S>,
  view: View = 'default',
  timeoutMs: number = DEFAULT_TIMEOUT_MS,
  opened?: (store: S) => void,
): Promise<CaseResult> {
  const started = performance.now()
  const outcome = await outcomeOf(testCase, harness, view, timeoutMs, opened)
  return { id: testCase.id, sentence: testCase.sentence, durationMs: performance.now() - started, ...outcome }
}

async function outcomeOf<S extends Conformable>(
  testCase: ConformanceCase<S>,
  harness: Harness<S>,
  view: View,
  timeoutMs: number,
  opened: ((store: S) => void) | undefined,
): Promise<CaseOutcome> {
  const lacking = lacks(testCase, harness)
  if (lacking !== undefined) return { status: 'not-run', reason: lacking }
  const bench = new Bench(harness, view)
  let outcome: CaseOutcome
  try {
    outcome = await within(timeoutMs, bench.try(testCase, opened))
  } catch (error) {
    outcome = { status: 'failed', error }
  }
  try {
    await within(timeoutMs, bench.clear())
  } catch (error) {
    if (outcome.status !== 'failed') outcome = { status: 'failed', error }
  }
  return outcome
}

function lacks<S>(testCase: ConformanceCase<S>, harness: Harness<S>): string | undefined {
  if (testCase.reopens === true && harness.reopen === undefined) return 'data cannot be opened twice (no `reopen` in the harness)'
  const wired = harness.cut !== undefined && harness.heal !== undefined
  return testCase.outage === true && !wired ? 'the engine cannot be cut off (no `cut` and `heal` in the harness)' : undefined
}

/** The stores of one case: the one the harness opened, further handles on its data, and their views. */
class Bench<S extends Conformable> {
  readonly #harness: Harness<S>
  readonly #view: View
  /** Hostile on purpose: whatever an engine makes of a workspace's name, every case passes through it. */
  readonly #workspace = `w/${randomUUID()}:%_*?['"\\] É😀 `
  readonly #handles: S[] = []
  #root: S | undefined
  #cut = false

  constructor(harness: Harness<S>, view: View) {
    this.#harness = harness
    this.#view = view
  }

  async try(testCase: ConformanceCase<S>, opened: ((store: S) => void) | undefined): Promise<CaseOutcome> {
    const root = await this.#harness.open()
    this.#root = root
    this.#handles.push(root)
    opened?.(root)
    const store = this.#scoped(root)
    const reason = testCase.skip?.(store)
    if (reason !== undefined) return { status: 'not-run', reason }
    if (this.#view === 'default') {
      await testCase.run(this.#trial(store))
    } else {
      await this.#amongDecoys(() => testCase.run(this.#trial(store)))
    }
    return { status: 'passed' }
  }

  /** In the workspace view other workspaces hold rows under common names, and every case must leave them alone. */
  async #amongDecoys(work: () => Promise<void>): Promise<void> {
    await plantDecoys(this.#handles[0]!)
    await work()
    await this.#heal()
    await checkDecoys(this.#handles.at(-1)!)
  }

  async clear(): Promise<void> {
    if (this.#root === undefined) return
    await this.#heal()
    await this.#closeAll()
    await this.#harness.dispose?.(this.#root)
  }

  #trial(store: S): Trial<S> {
    return {
      store,
      view: this.#view,
      another: () => this.#another(),
      reopen: async () => {
        await this.#closeAll()
        return this.#another()
      },
      cut: async () => {
        this.#cut = true
        await this.#harness.cut!(this.#root!)
      },
      heal: () => this.#heal(),
    }
  }

  async #another(): Promise<S> {
    const handle = await this.#harness.reopen!(this.#root!)
    this.#handles.push(handle)
    return this.#scoped(handle)
  }

  async #heal(): Promise<void> {
    if (!this.#cut) return
    this.#cut = false
    await this.#harness.heal!(this.#root!)
  }

  async #closeAll(): Promise<void> {
    for (const handle of this.#handles) await handle.close()
  }

  #scoped(store: S): S {
    return this.#view === 'default' ? store : (store.workspace(this.#workspace) as S)
  }
}

interface About {
  readonly kind?: string
  readonly backend?: string
  readonly capabilities?: unknown
}

function aboutOf(store: unknown): About {
  const { kind, backend, capabilities } = store as About
  return { ...(kind === undefined ? {} : { kind }), ...(backend === undefined ? {} : { backend }), capabilities }
}

function chosen(id: string, only: readonly string[] | undefined): boolean {
  return only === undefined || only.some((name) => id === name || id.startsWith(name.endsWith('/') ? name : `${name}/`))
}

async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error(`not finished within ${timeoutMs} ms`)), timeoutMs)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

/** A backend with a wire that can be cut: while it is, every method but `close` rejects with `UNAVAILABLE`. */
export interface Wired<B> {
  readonly backend: B
  cut(): void
  heal(): void
}

/** Puts a cuttable wire before a backend that lives in this process, so that its harness can offer `cut` and `heal`. */
export function wireOutage<B extends object>(backend: B): Wired<B> {
  let isCut = false
  const wired = new Proxy(backend, {
    get(target, property) {
      const member: unknown = Reflect.get(target, property, target)
      if (typeof member !== 'function' || property === 'constructor') return member
      return (...args: unknown[]): unknown =>
        isCut && property !== 'close' ? Promise.reject(noAnswer()) : Reflect.apply(member, target, args)
    },
  })
  return { backend: wired, cut: () => void (isCut = true), heal: () => void (isCut = false) }
}

function noAnswer(): HoldfastError {
  return new HoldfastError('UNAVAILABLE', 'the connection was cut on purpose')
}
