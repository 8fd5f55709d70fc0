import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { buildKernel, target } from '../scripts/build-kernel.ts'
import { createKernel, createMemory, hasKernel } from '../src/knowledge/kernel.ts'

describe('the kernel', () => {
  it('is what its source gives', async () => {
    expect(await readFile(target, 'utf8')).toBe(await buildKernel())
  })

  it('lists the bits that are set', () => {
    const memory = createMemory(1)!
    const kernel = createKernel(memory)
    const words = 40
    const bitmap = new Uint32Array(memory.buffer, 0, words)
    const out = new Uint32Array(memory.buffer, 1024, words * 32 + 8)
    for (const pattern of [0, 1, 0x80_00_00_00, 0xff_ff_ff_ff, 0x0f_0f_0f_0f, 0x12_34_56_78, 0x88_00_00_11]) {
      bitmap.set(Array.from({ length: words }, (_, i) => (i % 3 === 0 ? pattern : Math.imul(pattern, i * 2_654_435_761))))
      const expected = Array.from({ length: words * 32 }, (_, i) => i).filter((i) => (bitmap[i >>> 5]! >>> (i & 31)) & 1)
      out.fill(77)
      expect(kernel.list(0, words, 1024)).toBe(expected.length)
      // Whoever reads on to a multiple of four finds rows that exist.
      expect([...out.subarray(0, expected.length + 4)]).toEqual([...expected, 0, 0, 0, 0])
    }
  })

  it('runs here, on memory that can be shared and grow', () => {
    expect(hasKernel()).toBe(true)
    const memory = createMemory(1)!
    const kernel = createKernel(memory)
    expect(memory.buffer).toBeInstanceOf(SharedArrayBuffer)
    memory.grow(2)
    const at = 2 * 65_536
    new Float32Array(memory.buffer, at, 8).set([1, -7.5, 3, 0.25, -1, 2, 0, 0])
    expect(kernel.largest(at, 8)).toBe(7.5)
    const step = 7.5 / 127
    const lost = kernel.quantise(at, 8, step, 1 / step, at + 64)
    const codes = [...new Int8Array(memory.buffer, at + 64, 8)]
    expect(codes).toEqual([17, -127, 51, 4, -17, 34, 0, 0])
    const floats = [1, -7.5, 3, 0.25, -1, 2, 0, 0]
    expect(lost).toBeCloseTo(
      floats.reduce((sum, x, i) => sum + (x - codes[i]! * step) ** 2, 0),
      12,
    )
  })
})
