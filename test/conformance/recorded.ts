/** Conformance runs that are noted: what backend on what engine they show to work. */
import { describe, it } from 'vitest'
import type { Target } from '../../scripts/results.ts'
import type { TestRunner } from '../../src/conformance/run.ts'
import type { Kind } from '../../src/errors.ts'
import { runningService, type Service } from '../services.ts'

declare module 'vitest' {
  interface TaskMeta {
    /** Present where the tests are the cases of a suite on a backend in its plain form, so that `npm run test:engines -- --record` notes them. */
    conformance?: Target
  }
}

/** What a suite runs on where there is no service, e.g. `{ engine: 'SQLite', version: '3.53', category: 'in process' }`. */
export type On = Pick<Target, 'engine' | 'version' | 'category'>

const SQLITE: On = { engine: 'SQLite', version: process.versions['sqlite']!, category: 'in process' }
const NODE: On = { engine: 'Node', version: process.versions.node, category: 'in process' }

/** The runner for `defineConformance` on a backend of the catalogue that needs nothing but Node. */
export function recordedInProcess(kind: Kind, backend: string): TestRunner {
  return runner({ kind, backend, ...(backend.includes('sqlite') ? SQLITE : NODE) })
}

/** The runner for `defineConformance` on a backend of the catalogue, on a service or on what is said instead. */
export function recorded(kind: Kind, backend: string, on: Service | On): TestRunner {
  if ('name' in on && runningService(on.name) === undefined) return { describe, it }
  const { engine, version, category } = on
  return runner({ kind, backend, engine, version, category })
}

function runner(conformance: Target): TestRunner {
  return { describe: (name, body) => describe(name, { meta: { conformance } }, body), it }
}
