/** One run at a time: a lock that the system takes back when its holder ends, however it ends. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'

const POLL_MS = 100

/** Runs the work while no other process holds the lock of this home; `waiting` is called once where another does. */
export async function locked<T>(home: string, work: () => Promise<T>, waiting: () => void = () => undefined): Promise<T> {
  const lock = new DatabaseSync(join(home, 'lock'), { timeout: 0 })
  try {
    for (let told = false; !tryLock(lock); await sleep(POLL_MS)) {
      if (!told) waiting()
      told = true
    }
    return await work()
  } finally {
    lock.close()
  }
}

function tryLock(lock: DatabaseSync): boolean {
  try {
    lock.exec('BEGIN EXCLUSIVE')
    return true
  } catch (error) {
    if ((error as { errcode?: number }).errcode === 5) return false
    throw error
  }
}
