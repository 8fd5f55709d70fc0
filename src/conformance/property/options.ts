export interface PropertyOptions {
  /** Random programs to try. Default 100. */
  readonly runs?: number | undefined
  /** Repeats the programs of an earlier run, whose failure names it. Default: random. */
  readonly seed?: number | undefined
}

/** A document's metadata, as random programs make it. */
export type Metadata = Readonly<Record<string, unknown>>
