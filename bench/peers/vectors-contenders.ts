/** Who is asked, and by which calls. Each is opened in a process of its own. */
import { holdfastMemory, holdfastSqlite, plain } from './vectors-ours.ts'
import type { VectorContender } from './vectors-frame.ts'
import { lanceFlat, lanceHnsw, lanceOptimized } from './vectors-lancedb.ts'
import { langchain, mastra, sqliteVec, vectra } from './vectors-others.ts'

export const CONTENDERS: readonly VectorContender[] = [
  holdfastSqlite,
  holdfastMemory,
  plain,
  sqliteVec,
  lanceFlat,
  lanceOptimized,
  lanceHnsw,
  langchain,
  vectra,
  mastra,
]
