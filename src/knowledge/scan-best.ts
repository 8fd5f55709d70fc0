/** The best rows seen so far: a heap of bounded size with the worst on top, where a better one replaces it. */
import { compareBytes } from '../store/text.ts'

export class Best {
  readonly #limit: number
  readonly #ids: readonly string[]
  readonly #rows: number[] = []
  readonly #scores: number[] = []

  constructor(limit: number, ids: readonly string[]) {
    this.#limit = limit
    this.#ids = ids
  }

  offer(row: number, score: number): void {
    if (this.#rows.length < this.#limit) {
      this.#rows.push(row)
      this.#scores.push(score)
      this.#rise(this.#rows.length - 1)
    } else if (score >= this.#scores[0]! && this.#compare(row, score, this.#rows[0]!, this.#scores[0]!) < 0) {
      this.#rows[0] = row
      this.#scores[0] = score
      this.#sink()
    }
  }

  sorted(): { row: number; score: number }[] {
    return this.#rows
      .map((row, i) => ({ row, score: this.#scores[i]! }))
      .toSorted((a, b) => this.#compare(a.row, a.score, b.row, b.score))
  }

  /** Negative where the first is the better. */
  #compare(rowA: number, scoreA: number, rowB: number, scoreB: number): number {
    return scoreB - scoreA || compareBytes(this.#ids[rowA]!, this.#ids[rowB]!)
  }

  #isWorse(a: number, b: number): boolean {
    return this.#compare(this.#rows[a]!, this.#scores[a]!, this.#rows[b]!, this.#scores[b]!) > 0
  }

  #rise(at: number): void {
    for (let parent; at > 0; at = parent) {
      parent = (at - 1) >> 1
      if (!this.#isWorse(at, parent)) return
      this.#swap(at, parent)
    }
  }

  #sink(): void {
    for (let at = 0; ;) {
      const left = 2 * at + 1
      if (left >= this.#rows.length) return
      const child = left + 1 < this.#rows.length && this.#isWorse(left + 1, left) ? left + 1 : left
      if (!this.#isWorse(child, at)) return
      this.#swap(at, child)
      at = child
    }
  }

  #swap(a: number, b: number): void {
    ;[this.#rows[a], this.#rows[b]] = [this.#rows[b]!, this.#rows[a]!]
    ;[this.#scores[a], this.#scores[b]] = [this.#scores[b]!, this.#scores[a]!]
  }
}
