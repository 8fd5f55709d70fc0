/** What the event loop's own thread scans: so much in each of its turns, so that whatever else waits comes in between. */

/** In numbers of vectors: less than a millisecond. A search over more has a turn to itself. */
const A_TURN = 10_000_000

interface Waiting {
  readonly numbers: number
  readonly start: () => void
}

/** In this turn. */
let done = 0
/** First come, first served. */
const waiting: Waiting[] = []
let promised = 0
let isScheduled = false

/** Whether a search over so many numbers may go ahead at once. If so, it counts. */
export function hasRoom(numbers: number): boolean {
  if (waiting.length > 0 || (done > 0 && done + numbers > A_TURN)) return false
  done += numbers
  scheduleTurn()
  return true
}

/** Whether it would go ahead in the next turn. */
export function isNext(numbers: number): boolean {
  return promised === 0 || promised + numbers <= A_TURN
}

/** Resolves in the turn that has room for it. */
export function whenRoom(numbers: number): Promise<void> {
  promised += numbers
  scheduleTurn()
  return new Promise((start) => waiting.push({ numbers, start }))
}

function scheduleTurn(): void {
  if (isScheduled) return
  isScheduled = true
  setImmediate(beginTurn)
}

function beginTurn(): void {
  isScheduled = false
  done = 0
  for (let first = waiting[0]; first !== undefined && (done === 0 || done + first.numbers <= A_TURN); first = waiting[0]) {
    waiting.shift()
    promised -= first.numbers
    done += first.numbers
    first.start()
  }
  if (done > 0) scheduleTurn()
}
