/**
 * One question, put to every contender in turns: same data, same machine, same minute. In each round a contender works for about the
 * same time, so that a slow moment meets all; a round yields one sample, and the figure is the median of the rounds.
 */
import { closeSync, fsyncSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { summary } from '../measure.ts'
import type { Comparison, Figure } from './result.ts'

/** What every contender's adapter has beside the operations that it is asked for. */
export interface Adapter {
  close(): Promise<void>
  /** A contender in another process tells by its own clock what the operations since the last call took, in microseconds. */
  spentUs?(): number
}

export interface Peer<Api extends Adapter> {
  readonly name: string
  /** Asked for after the peers are installed. */
  version(): string | undefined
  /** What it promises about a write that it has acknowledged. */
  readonly durability: string
  readonly note?: string
  /** Opens a new store in an empty folder. */
  open(folder: string): Promise<Api>
}

export interface Question<Api> {
  readonly id: string
  readonly what: string
  readonly unit: 'µs' | 'ms' | 'ops/s'
  readonly rounds: number
  /** How many operations are begun at once; 1 when left out. */
  readonly atOnce?: number
  /** One operation; `n` grows and never comes again. */
  run(api: Api, n: number): Promise<unknown>
}

/** A contender that takes part, or why it does not. */
export interface Entrant<Api extends Adapter> {
  readonly peer: Peer<Api>
  readonly folder: string
  readonly api?: Api
  readonly refused?: string
}

const SLICE_US = 20_000
const MOST_A_SLICE = 100
/** A contender that has worked so long at one question, and at least three rounds, sits out the rest. */
const ENOUGH_US = 4_000_000
const LEAST_ROUNDS = 3

/** Opens all peers in folders of their own; `prepare` checks and seeds each. Who fails is kept with the reason. */
export async function enter<Api extends Adapter>(
  peers: readonly Peer<Api>[],
  folder: string,
  prepare: (api: Api) => Promise<void>,
): Promise<Entrant<Api>[]> {
  return Promise.all(peers.map((peer, i) => enterOne(peer, join(folder, String(i)), prepare)))
}

async function enterOne<Api extends Adapter>(
  peer: Peer<Api>,
  folder: string,
  prepare: (api: Api) => Promise<void>,
): Promise<Entrant<Api>> {
  let api: Api | undefined
  try {
    mkdirSync(folder, { recursive: true })
    api = await peer.open(folder)
    await prepare(api)
    return { peer, folder, api }
  } catch (error) {
    await api?.close().catch(() => undefined)
    return { peer, folder, refused: reason(error) }
  }
}

/** Puts the question to all that take part; a contender that fails is told with its error, and the others go on. */
export async function ask<Api extends Adapter>(
  group: string,
  question: Question<Api>,
  entrants: readonly Entrant<Api>[],
): Promise<Comparison> {
  const turns = entrants.map((entrant) => new Turns(entrant, question))
  for (const turn of turns) await turn.warmUp()
  for (let round = 0; round < question.rounds; round++) {
    for (const turn of shuffled(turns)) await turn.take()
  }
  const { id, what, unit } = question
  return { id, group, what, unit, better: unit === 'ops/s' ? 'more' : 'less', figures: turns.map((turn) => turn.figure()) }
}

/** Nobody is always the one who works after the heaviest. */
export function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ item }) => item)
}

class Turns<Api extends Adapter> {
  readonly #entrant: Entrant<Api>
  readonly #question: Question<Api>
  readonly #samples: number[] = []
  #n = 0
  #operations = 1
  #spentUs = 0
  #refused: string | undefined

  constructor(entrant: Entrant<Api>, question: Question<Api>) {
    this.#entrant = entrant
    this.#question = question
    this.#refused = entrant.refused
  }

  async warmUp(): Promise<void> {
    await this.take(false)
    if (this.#question.atOnce !== undefined) return
    this.#operations = 5
    const took = await this.take(false)
    if (took !== undefined) this.#operations = Math.max(1, Math.min(MOST_A_SLICE, Math.round(SLICE_US / took)))
  }

  /** One round; what an operation took, undefined when the contender is out. */
  async take(counts = true): Promise<number | undefined> {
    if (this.#refused !== undefined || this.#hasEnough()) return undefined
    try {
      const took = await (this.#question.atOnce === undefined ? this.#slice() : this.#burst(this.#question.atOnce))
      if (counts) this.#samples.push(took)
      settle(this.#entrant.folder)
      return took
    } catch (error) {
      this.#refused = reason(error)
      return undefined
    }
  }

  #hasEnough(): boolean {
    return this.#spentUs > ENOUGH_US && this.#samples.length >= LEAST_ROUNDS
  }

  async #slice(): Promise<number> {
    const each: number[] = []
    for (let i = 0; i < this.#operations; i++) each.push(await this.#timed(1))
    return summary(each).medianUs
  }

  async #burst(atOnce: number): Promise<number> {
    return (await this.#timed(atOnce)) / atOnce
  }

  async #timed(times: number): Promise<number> {
    const api = this.#entrant.api!
    const first = this.#n
    this.#n += times
    api.spentUs?.()
    const began = performance.now()
    if (times === 1) await this.#question.run(api, first)
    else await Promise.all(Array.from({ length: times }, (_, i) => this.#question.run(api, first + i)))
    const took = api.spentUs?.() ?? (performance.now() - began) * 1000
    this.#spentUs += took
    return took
  }

  figure(): Figure {
    const { peer } = this.#entrant
    const version = peer.version()
    const about = { contender: peer.name, ...(version === undefined ? {} : { version }), durability: peer.durability }
    if (this.#refused !== undefined) return { ...about, note: `not run: ${this.#refused}` }
    const { medianUs, spreadUs } = summary(this.#samples.map((us) => inUnit(us, this.#question.unit)))
    return {
      ...about,
      median: round(medianUs),
      spread: round(spreadUs / 2),
      ...(peer.note === undefined ? {} : { note: peer.note }),
    }
  }
}

/** What one leaves to the file system to write some time is not to be paid by the next one's fsync. */
function settle(folder: string): void {
  const file = openSync(folder, 'r')
  fsyncSync(file)
  closeSync(file)
}

function inUnit(us: number, unit: Question<never>['unit']): number {
  if (unit === 'ops/s') return 1e6 / us
  return unit === 'ms' ? us / 1000 : us
}

/** Four digits say all that a benchmark knows. */
export function round(value: number): number {
  return Number(value.toPrecision(4))
}

export function reason(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return text.split('\n')[0]!.slice(0, 200)
}
