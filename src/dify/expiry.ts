/** Ends of keys. */

/** Timers count no further. */
const MAX_DELAY_MS = 2 ** 31 - 1

/** Calls back at that time, in milliseconds since 1970, however far away it is; what it gives prevents that. Alone it keeps no process running. */
export function onceAt(time: number, callback: () => void): () => void {
  let timer: NodeJS.Timeout | undefined
  const wait = (): void => {
    const left = time - Date.now()
    if (left <= 0) return callback()
    timer = setTimeout(wait, Math.min(left, MAX_DELAY_MS)).unref()
  }
  if (time !== Infinity) wait()
  return () => clearTimeout(timer)
}
