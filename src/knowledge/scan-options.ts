/** The options of the embedded backends that are about their scan. */
import type { OptionsSchema } from '../store/options.ts'
import { DEFAULT_VECTOR_MEMORY_MB } from './scan-budget.ts'
import type { ScanMode } from './scan-types.ts'

export interface VectorOptions {
  /**
   * `auto` (default): 8-bit codes find what may be among the best, 32-bit floats decide. `exact`: 32-bit floats for all, several times
   * slower. Both give the same hits and scores.
   */
  readonly scan?: ScanMode | undefined
  /**
   * Megabytes that the vectors of all collections may take in memory. `sqlite` keeps those in memory that were searched last. What cannot fit
   * is `QUOTA_EXCEEDED`. Default 1,024.
   */
  readonly maxVectorMemoryMb?: number | undefined
}

export const VECTOR_OPTIONS: OptionsSchema<VectorOptions> = {
  scan: {
    type: 'string',
    description: 'auto: 8-bit codes first; exact: 32-bit floats only; the hits are the same',
    choices: ['auto', 'exact'],
    default: 'auto',
  },
  maxVectorMemoryMb: {
    type: 'integer',
    description: 'megabytes of memory for the vectors of all collections',
    default: DEFAULT_VECTOR_MEMORY_MB,
    min: 1,
  },
}
