/** Requests side by side. */

const WIDTH = 32

/** What `work` gives of each item, in their order; so many at a time. After a failure no new one begins. */
export async function inParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  const pending = items.entries()
  let failed = false
  const worker = async (): Promise<void> => {
    for (const [i, item] of pending) {
      if (failed) return
      results[i] = await work(item)
    }
  }
  const workers = Array.from({ length: Math.min(WIDTH, items.length) }, () =>
    worker().catch((error: unknown) => {
      failed = true
      throw error
    }),
  )
  await Promise.all(workers)
  return results
}
