/** The session files that are kept in memory: those used last, up to a number of bytes. */
import type { Transcript } from './transcript.ts'

/** Bytes of the files; in memory they take about twice as much. */
const MAX_BYTES = 64 * 1024 * 1024

export class TranscriptCache {
  /** Least recently used first, with the bytes counted for each. */
  readonly #entries = new Map<string, { readonly transcript: Transcript; readonly bytes: number }>()
  #bytes = 0

  get(file: string): Transcript | undefined {
    const transcript = this.#entries.get(file)?.transcript
    if (transcript !== undefined) this.set(file, transcript)
    return transcript
  }

  /** Keeps a transcript, or counts anew one that has grown, and lets go of what was not used for longest. */
  set(file: string, transcript: Transcript): void {
    this.delete(file)
    this.#entries.set(file, { transcript, bytes: transcript.size })
    this.#bytes += transcript.size
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= MAX_BYTES || oldest === file) break
      this.delete(oldest)
    }
  }

  delete(file: string): void {
    this.#bytes -= this.#entries.get(file)?.bytes ?? 0
    this.#entries.delete(file)
  }

  clear(): void {
    this.#entries.clear()
    this.#bytes = 0
  }
}
