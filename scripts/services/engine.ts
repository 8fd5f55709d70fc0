/** What a file of this folder says of one engine. */
import { randomBytes } from 'node:crypto'
import type { Service, Services } from './home.ts'
import type { ProcessSpec } from './process.ts'

/** Where an instance of a service is to live. */
export interface Place {
  readonly home: string
  /** An empty folder for configuration and data. */
  readonly folder: string
  /** The beginning of the path of its logs. */
  readonly log: (process: string) => string
  /** Dies with the process that started it, and keeps its data over a restart: an instance of one test. */
  readonly isPrivate: boolean
  /** The services named in `after`, which run. */
  readonly others: Services
}

/** An instance that has its ports, its passwords and its configuration, and is not started. */
export interface Plan {
  /** Started in this order, all at once. */
  readonly processes: readonly ProcessSpec[]
  /** URLs and credentials. */
  readonly service: Pick<Service, 'url'> & Readonly<Record<string, unknown>>
}

/** What a service was planned to be, as its `answer` sees it. */
export type Planned = Plan['service'] & { readonly home: string }

/** What can be brought to the machine. */
export interface Installable {
  readonly name: string
  /** Whether everything is there that is used of it. */
  isInstalled(home: string): boolean
  /** Brings what is missing; safe to repeat after it was interrupted. */
  install(home: string): Promise<void>
}

export interface Engine extends Installable {
  readonly engine: string
  readonly category: Service['category']
  /** More to know of it than its version, e.g. of an extension; for the notes of a service. */
  extras?(home: string): Readonly<Record<string, string>>
  /** Services that must run before, and that it uses. */
  readonly after?: readonly string[]
  plan(place: Place): Promise<Plan>
  /** Once, when all processes listen: what makes servers a cluster. It may throw until they do. */
  settle?(planned: Planned): Promise<void>
  /** Asks a real question and gives the engine's version; throws where there is no answer. */
  answer(planned: Planned): Promise<string>
}

/** Hexadecimal, so that it needs no escape in any URL, configuration or statement. */
export function newPassword(): string {
  return randomBytes(18).toString('hex')
}
