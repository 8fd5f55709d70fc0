/** One set of documents, put to all contenders that can bear it: in turns, so that a slow moment of the machine meets all of them. */
import { summary } from '../measure.ts'
import { round } from './frame.ts'
import type { Comparison, Figure } from './result.ts'
import { CONTENDERS } from './vectors-contenders.ts'
import { BATCH, LIMIT, makeData, type DataSet, type Truth } from './vectors-data.ts'
import { VectorProcess } from './vectors-process.ts'
import { peerVersion } from './vectors/packages.ts'

export interface Study {
  /** Begins the ids of its comparisons. */
  readonly id: string
  /** Told as the group of its comparisons. */
  readonly title: string
  readonly count: number
  readonly dimension: number
  /** 0: isotropic. */
  readonly clusters: number
  readonly contenders: readonly string[]
  /** Why others do not take part, by their name. */
  readonly absent: Readonly<Record<string, string>>
}

const ROUNDS = 30
const AT_ONCE = 50
const BURSTS = 3
/** Another process had the processor's caches until the turn came: the first search of a turn is not counted. */
const SEARCHES_A_TURN = 2

type Samples = ReadonlyMap<VectorProcess, number[]>

export async function study(given: Study, folder: string): Promise<Comparison[]> {
  const { set, truth } = makeData(folder, given.count, given.dimension, given.clusters)
  const processes = CONTENDERS.filter(({ name }) => given.contenders.includes(name)).map((each) => new VectorProcess(each))
  try {
    for (const each of processes) await each.open(folder, set)
    return await new Round(given, processes).comparisons(set, truth)
  } finally {
    for (const each of processes) await each.close()
  }
}

class Round {
  readonly #study: Study
  readonly #processes: readonly VectorProcess[]

  constructor(given: Study, processes: readonly VectorProcess[]) {
    this.#study = given
    this.#processes = processes
  }

  async comparisons(set: DataSet, truth: Truth): Promise<Comparison[]> {
    const inserted = await this.#inserts(set)
    const ready = await this.#turns(1, (each) => each.ready())
    const all = await this.#searches(truth.all, false)
    const tenth = await this.#searches(truth.tenth, true)
    const bursts = await this.#bursts()
    const rss = await this.#turns(1, (each) => each.rssMb())
    const compared = this.#compared.bind(this)
    return [
      compared('search', `top ${LIMIT}`, 'ms', 'less', all.ms),
      compared('filtered', `top ${LIMIT} of a tenth, by a filter`, 'ms', 'less', tenth.ms),
      compared('at-once', `${AT_ONCE} searches at once`, 'ops/s', 'more', bursts.perSecond),
      compared('loop-delay', `event-loop delay (p99) of ${AT_ONCE} searches at once`, 'ms', 'less', bursts.p99Ms),
      compared('insert', 'insert by the thousand', 'ops/s', 'more', inserted),
      compared('ready', 'from the last insert to the first answer', 'ms', 'less', ready),
      compared('recall', `recall@${LIMIT}`, 'recall', 'more', all.recall),
      compared('recall-filtered', `recall@${LIMIT} of a tenth, by a filter`, 'recall', 'more', tenth.recall),
      compared('rss', 'memory of the process after all that', 'MB', 'less', rss),
    ]
  }

  /** All documents over all the time that their inserts took: what is done only now and then, e.g. a checkpoint, is in it. */
  async #inserts({ count }: DataSet): Promise<Samples> {
    const took = await this.#turns(Math.ceil(count / BATCH), (each, round) => each.insert(round * BATCH))
    return new Map([...took].map(([each, batches]) => [each, batches.length === 0 ? [] : [(1_000 * count) / sum(batches)]]))
  }

  async #searches(truth: readonly (readonly number[])[], filtered: boolean): Promise<{ ms: Samples; recall: Samples }> {
    const recall = new Map(this.#processes.map((each): [VectorProcess, number[]] => [each, []]))
    const ms = await this.#turns(ROUNDS, async (each, round) => {
      const found = await each.search(round, filtered, SEARCHES_A_TURN)
      const right = truth[round % truth.length]!.map((i) => `d${i}`)
      if (found !== undefined) recall.get(each)!.push(right.filter((id) => found.ids.includes(id)).length / right.length)
      return found?.ms
    })
    return {
      ms,
      recall: new Map([...recall].map(([each, shares]) => [each, shares.length === 0 ? [] : [sum(shares) / shares.length]])),
    }
  }

  async #bursts(): Promise<{ perSecond: Samples; p99Ms: Samples }> {
    const p99Ms = new Map(this.#processes.map((each): [VectorProcess, number[]] => [each, []]))
    const took = await this.#turns(BURSTS, async (each) => {
      const burst = await each.burst(AT_ONCE)
      if (burst !== undefined) p99Ms.get(each)!.push(burst.p99Ms)
      return burst?.ms
    })
    return { perSecond: mapped(took, (ms) => (1_000 * AT_ONCE) / ms), p99Ms }
  }

  async #turns(rounds: number, ask: (each: VectorProcess, round: number) => Promise<number | undefined>): Promise<Samples> {
    const samples = new Map(this.#processes.map((each): [VectorProcess, number[]] => [each, []]))
    for (let round = 0; round < rounds; round++) {
      for (const each of this.#processes) {
        const value = await ask(each, round)
        if (value !== undefined) samples.get(each)!.push(value)
      }
    }
    return samples
  }

  #compared(id: string, what: string, unit: Comparison['unit'], better: Comparison['better'], samples: Samples): Comparison {
    const ran = this.#processes.map((each) => figure(each, samples.get(each)!))
    const absent = Object.entries(this.#study.absent).map(([contender, why]) => ({ contender, note: `not run: ${why}` }))
    return { id: `${this.#study.id}-${id}`, group: this.#study.title, what, unit, better, figures: [...ran, ...absent] }
  }
}

function figure({ contender, failure }: VectorProcess, samples: readonly number[]): Figure {
  const { name, package: from, durability, note } = contender
  if (samples.length === 0) return { contender: name, note: `not run: ${failure ?? 'no answer'}` }
  const { medianUs: median, spreadUs } = summary(samples)
  const version = from === undefined ? undefined : peerVersion(from)
  return {
    contender: name,
    ...(version === undefined ? {} : { version }),
    durability,
    median: round(median),
    ...(samples.length > 2 ? { spread: round(spreadUs / 2) } : {}),
    ...(note === undefined ? {} : { note }),
  }
}

function mapped(samples: Samples, change: (value: number) => number): Samples {
  return new Map([...samples].map(([each, values]) => [each, values.map(change)]))
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
