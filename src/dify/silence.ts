/** Notices that the other side has said nothing for too long. */
export class Silence {
  readonly #isExcused: () => boolean
  readonly #onSilent: (why: string) => void
  readonly #timer: NodeJS.Timeout
  #isOver = false

  /** Who cannot be heard, since nobody listens to it at the moment, is excused. */
  constructor(ms: number, isExcused: () => boolean, onSilent: (why: string) => void) {
    this.#isExcused = isExcused
    this.#onSilent = onSilent
    this.#timer = setTimeout(() => this.#late(ms), ms)
    // Alone it keeps no process running.
    this.#timer.unref()
  }

  heard(): void {
    // A timer that was cleared would begin anew.
    if (!this.#isOver) this.#timer.refresh()
  }

  stop(): void {
    this.#isOver = true
    clearTimeout(this.#timer)
  }

  #late(ms: number): void {
    if (this.#isExcused()) this.heard()
    else this.#onSilent(`it was silent for ${ms} ms`)
  }
}
