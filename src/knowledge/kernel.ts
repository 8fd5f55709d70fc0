/** The scan's inner loops in WebAssembly with 128-bit SIMD over shared memory: kernel.wat, as a module of this process. */
import { KERNEL_BASE64 } from './kernel-binary.ts'

/** Addresses are bytes from the beginning of the memory. */
export interface Kernel {
  /** How many bits are set: their numbers are in `out`, which is written to some bytes behind them too. */
  list(bitmap: number, words: number, out: number): number
  /** See kernel.wat: how many rows were written to `out`. */
  scan(
    codes: number,
    stride: number,
    figures: number,
    rows: number,
    count: number,
    query: number,
    queryFactor: number,
    queryError: number,
    offsetError: number,
    rounding: number,
    state: number,
    limit: number,
    dots: number,
    out: number,
  ): number
  dots: Exactly
  squares: Exactly
  largest(floats: number, length: number): number
  quantise(floats: number, length: number, step: number, perStep: number, codes: number): number
  lengths(rows: number, count: number, figures: number, out: number): void
}

type Exactly = (rows: number, count: number, floats: number, stride: number, query: number, length: number, out: number) => void

/** Grows in place, also while other threads read it. */
export interface SharedMemory {
  readonly buffer: SharedArrayBuffer
  grow(pages: number): number
}

export const PAGE_BYTES = 65_536
/** What 32-bit addresses reach. */
export const MAX_PAGES = 65_536

interface Api {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object, imports: object) => { readonly exports: object }
  readonly Memory: new (descriptor: { initial: number; maximum: number; shared: boolean }) => SharedMemory
}

// The compiler's libraries have no types of it without those of a browser.
const { WebAssembly } = globalThis as { readonly WebAssembly?: Api }

let compiled: object | null | undefined

/** Whether this process can run the kernel. */
export function hasKernel(): boolean {
  return compile() !== null
}

export function createKernel(memory: SharedMemory): Kernel {
  return new WebAssembly!.Instance(compile()!, { env: { memory } }).exports as Kernel
}

/** Undefined where the machine has no address space left for one more. */
export function createMemory(pages: number): SharedMemory | undefined {
  try {
    return new WebAssembly!.Memory({ initial: pages, maximum: MAX_PAGES, shared: true })
  } catch {
    return undefined
  }
}

/** Null where SIMD, shared memory or WebAssembly itself is missing. */
function compile(): object | null {
  if (compiled !== undefined) return compiled
  if (typeof WebAssembly === 'undefined' || typeof SharedArrayBuffer === 'undefined') return (compiled = null)
  try {
    return (compiled = new WebAssembly.Module(Buffer.from(KERNEL_BASE64, 'base64')))
  } catch {
    return (compiled = null)
  }
}
