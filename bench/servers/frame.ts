/** Comparisons on one service: what `npm run bench -- --servers` needs to know of it. */
import type { Service } from '../../scripts/services/home.ts'
import type { Contender } from '../measure.ts'

/** One operation, done by hand with the service's own client and by a store, on data alike. */
export interface Comparison {
  readonly what: string
  readonly rounds: number
  /** The baseline first; the ratio is the other's to it. */
  readonly contenders: readonly [Contender, Contender]
}

export interface Prepared {
  readonly comparisons: readonly Comparison[]
  /** Removes the data and closes what was opened. */
  close(): Promise<void>
}

export interface ServerBench {
  /** What is compared, e.g. `postgres: conversation`. */
  readonly title: string
  /** The service's name, as `npm run services` knows it. */
  readonly service: string
  /** What the two columns stand for, e.g. `pg` and `holdfast`. */
  readonly sides: readonly [string, string]
  prepare(service: Service): Promise<Prepared>
}
