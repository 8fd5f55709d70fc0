/** A part of `npm run bench`, and of the report that is made of what it yields. */
import type { Outcome, Recorded } from './recorded.ts'

export interface Section {
  /** Its file in `bench/results`, without the ending. */
  readonly name: string
  /** What runs it alone: `npm run bench -- --vectors`. */
  readonly flag: string
  readonly title: string
  /** Why the ratios are what they are, and in what the baselines differ: Markdown, which may tell figures of the run. */
  prose(recorded: Recorded): string
  /** All of it, or the parts named, where it has parts. */
  run(names: readonly string[]): Promise<Outcome>
  /** Only `--all` and its own flag run it: it takes long, or needs more than Node. */
  readonly large: boolean
  /** Where only the parts named ran, the file holds the others still; otherwise a partial run is shown and not kept. */
  readonly keepsParts?: boolean
}
