import { setImmediate as turn } from 'node:timers/promises'
import { beforeEach, describe, expect, it } from 'vitest'
import { hasRoom, isNext, whenRoom } from '../src/knowledge/scan-turns.ts'

const MOST = 10_000_000

describe('a turn of the event loop', () => {
  beforeEach(async () => {
    await turn()
    await turn()
  })

  it('has room for so much, and the next one again', async () => {
    expect(hasRoom(MOST / 2)).toBe(true)
    expect(hasRoom(MOST / 2)).toBe(true)
    expect(hasRoom(1)).toBe(false)
    await turn()
    expect(hasRoom(1)).toBe(true)
  })

  it('is for one that is too large, alone', async () => {
    expect(hasRoom(5 * MOST)).toBe(true)
    expect(hasRoom(1)).toBe(false)
    await turn()
    expect(hasRoom(1)).toBe(true)
    expect(hasRoom(5 * MOST)).toBe(false)
  })

  it('comes to those that wait, in order, and nobody overtakes them', async () => {
    const seen: string[] = []
    const note = (name: string) => (): void => void seen.push(name)
    expect(hasRoom(MOST)).toBe(true)
    expect(isNext(MOST)).toBe(true)
    const all = [whenRoom(MOST / 2).then(note('a')), whenRoom(MOST / 2).then(note('b')), whenRoom(3 * MOST).then(note('c'))]
    all.push(whenRoom(1).then(note('d')))
    expect(isNext(1)).toBe(false)
    expect(hasRoom(1)).toBe(false)
    const after: string[] = []
    for (let i = 0; i < 4; i++) {
      await turn()
      after.push(seen.join(''))
    }
    await Promise.all(all)
    expect(after).toEqual(['ab', 'abc', 'abcd', 'abcd'])
    expect(isNext(MOST)).toBe(true)
  })
})
