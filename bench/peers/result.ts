/** What the comparisons with other libraries yield: data, from which tables, charts and the report are made. */

/** One line of a comparison: what one contender took. */
export interface Figure {
  readonly contender: string
  readonly version?: string
  /** In words, e.g. "WAL, synchronous=FULL"; what a contender promises about a write that it has acknowledged. */
  readonly durability?: string
  /** In `unit`; undefined when it did not run. */
  readonly median?: number
  /** Half the span from the lower to the upper quartile, in `unit`. */
  readonly spread?: number
  readonly note?: string
}

/** One question put to all contenders, over the same data, in one run. */
export interface Comparison {
  readonly id: string
  readonly group: string
  readonly what: string
  readonly unit: 'µs' | 'ms' | 'ops/s' | 'MB' | 'fsyncs' | 'recall'
  readonly better: 'less' | 'more'
  readonly figures: readonly Figure[]
}
