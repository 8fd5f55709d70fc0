/** Timing for comparisons: contenders take turns, so that a slow moment of the machine meets all of them. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setImmediate as nextTurn } from 'node:timers/promises'

/** One side of a comparison; `run` does the work once and may be called any number of times. */
export interface Contender {
  readonly name: string
  run(round: number): unknown
}

export interface Timing {
  readonly name: string
  /** Microseconds of one run: median, and the span from the lower to the upper quartile. */
  readonly medianUs: number
  readonly spreadUs: number
}

/** Runs each contender `rounds` times, interleaved, after a warm-up of a tenth. */
export async function compare(contenders: readonly Contender[], rounds: number): Promise<Timing[]> {
  const samples = contenders.map((): number[] => [])
  const warmUp = Math.ceil(rounds / 10)
  for (let round = -warmUp; round < rounds; round++) {
    for (const [i, contender] of contenders.entries()) {
      const began = performance.now()
      await contender.run(round + warmUp)
      const tookUs = (performance.now() - began) * 1000
      if (round >= 0) samples[i]!.push(tookUs)
    }
  }
  return contenders.map(({ name }, i) => ({ name, ...summary(samples[i]!) }))
}

export function summary(samples: readonly number[]): { medianUs: number; spreadUs: number } {
  const sorted = samples.toSorted((a, b) => a - b)
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
  return { medianUs: at(0.5), spreadUs: at(0.75) - at(0.25) }
}

/** Turns of the event loop in which a store may still do what its answers did not have to wait for, such as checkpoints. */
const TURNS_BEHIND = 3

/** That many calls at once, and what is done behind their answers: it costs throughput, and must not be paid by the next contender. */
export async function atOnce(count: number, work: (i: number) => Promise<unknown>): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, i) => work(i)))
  for (let turn = 0; turn < TURNS_BEHIND; turn++) await nextTurn()
}

/** How late the event loop was with its timers, due every millisecond, while the work ran. */
export async function loopDelay(work: () => Promise<unknown>): Promise<{ p99Ms: number; maxMs: number }> {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  await work()
  delay.disable()
  return { p99Ms: delay.percentile(99) / 1e6, maxMs: delay.max / 1e6 }
}

/** A table of plain text whose first column is left-aligned. */
export function table(header: readonly string[], lines: readonly (readonly string[])[]): string {
  const all = [header, ...lines]
  const widths = header.map((_, column) => Math.max(...all.map((line) => line[column]?.length ?? 0)))
  const pad = (text: string, column: number): string => (column === 0 ? text.padEnd(widths[0]!) : text.padStart(widths[column]!))
  return all.map((line) => line.map(pad).join('  ').trimEnd()).join('\n')
}
