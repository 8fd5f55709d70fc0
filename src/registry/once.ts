/** Concurrent callers share one attempt, later ones its result; after a failure the next call tries again. */
export function once<T>(work: () => Promise<T>): () => Promise<T> {
  let attempt: Promise<T> | undefined
  return () => {
    attempt ??= work().catch((error: unknown) => {
      attempt = undefined
      throw error
    })
    return attempt
  }
}
