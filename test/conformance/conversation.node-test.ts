/** The conversation suite under `node:test`; `framework.test.ts` runs it in a process of its own. */
import { describe, it } from 'node:test'
import { conversationCases, defineConformance } from '../../src/conformance/index.ts'
import { memoryHarness } from './conversation-harness.ts'

defineConformance({ describe, it }, { name: 'conversation on memory', cases: conversationCases, harness: memoryHarness() })
