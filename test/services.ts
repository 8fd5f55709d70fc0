/**
 * The servers that `npm run services` started, for tests. Where one does not run, its tests are reported as not run, by name and with
 * the reason; where HOLDFAST_REQUIRE names it (a list by commas, or `all`), they fail.
 */
import { beforeEach, describe, onTestFinished, type TestContext } from 'vitest'
import { engineOf, NAMES, TOOL_NAMES } from '../scripts/services/catalogue.ts'
import { readServices, servicesHome, type Service } from '../scripts/services/home.ts'
import { startPrivate, type Instance } from '../scripts/services/private.ts'
import { isAlive } from '../scripts/services/process.ts'

export type { Instance, Service }

/** `embedded` is the tests that need nothing but Node, which always run. */
const required: readonly string[] = (process.env['HOLDFAST_REQUIRE'] ?? '').split(',').filter((name) => name !== '')
const unknown = required.filter((name) => !['embedded', 'all', ...NAMES, ...TOOL_NAMES].includes(name))
if (unknown.length > 0)
  throw new Error(
    `HOLDFAST_REQUIRE names ${unknown.join(', ')}; there are all, embedded, ${[...NAMES, ...TOOL_NAMES].join(', ')}`,
  )

/** A service that runs, or undefined. It is not asked: who runs the tests has started it, and a process that hangs is a failure. */
export function runningService(name: string): Service | undefined {
  engineOf(name)
  const service = readServices(servicesHome())[name]
  return service?.processes.every(isAlive) === true ? service : undefined
}

/**
 * A block of tests that need a service. The body runs when tests are collected, also where the service is missing: what it gets may be
 * handed on, but looked into only by tests and hooks, which run only where the service does.
 */
export function withService(name: string, title: string, body: (service: Service) => void): void {
  const service = runningService(name)
  const reason = `${name} is not running: npm run services ${name}`
  if (service !== undefined) return void describe(title, () => body(service))
  // Skipped blocks run no hooks; those of a required service run, and each test says why it cannot pass.
  const options = isRequired(name) ? {} : { skip: true, meta: { notRun: reason } }
  describe(title, options, () => {
    beforeEach(() => {
      throw new Error(reason)
    })
    body(missing(name, reason))
  })
}

declare module 'vitest' {
  interface TaskMeta {
    /** Why the tests of a block are skipped, for the report. */
    notRun?: string
  }
}

function isRequired(name: string): boolean {
  return required.includes('all') || required.includes(name)
}

function missing(name: string, reason: string): Service {
  return new Proxy({ name } as Service, {
    get: (target, property) => {
      if (property in target) return Reflect.get(target, property) as unknown
      throw new Error(reason)
    },
  })
}

/**
 * Starts an instance of a service for this test alone, which may stop, start and kill it; it ends with the test, whatever becomes of
 * the test. Where the service is not installed, the test is reported as not run, or fails where the service is required.
 */
export async function privateService(name: string, context?: Pick<TestContext, 'skip'>): Promise<Instance> {
  const home = servicesHome()
  const reason = `${name} is not installed: npm run services ${name}`
  if (!engineOf(name).isInstalled(home)) {
    if (context !== undefined && !isRequired(name)) context.skip(reason)
    throw new Error(reason)
  }
  const instance = startPrivate(home, name)
  onTestFinished(() => instance.then(({ end }) => end()))
  return instance
}
