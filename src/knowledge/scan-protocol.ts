/** What the pool and its threads say to each other. */
import type { SharedMemory } from './kernel.ts'
import type { Layout } from './scan-layout.ts'
import type { Found, Part } from './scan-part.ts'

/** A memory that a thread is to search in, in a slot of its own. */
export interface Attach {
  readonly ask: 'attach'
  readonly memory: SharedMemory
  readonly number: number
  readonly layout: Layout
  readonly slot: number
}

export type ScanRequest =
  | Attach
  | { readonly ask: 'detach'; readonly number: number }
  | { readonly ask: 'search'; readonly number: number; readonly id: number; readonly part: Part }

export type ScanAnswer =
  | 'ready'
  | { readonly id: number; readonly found: Found }
  | { readonly id: number; readonly failure: string }
