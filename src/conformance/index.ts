/** The conformance suite, published as `holdfast/conformance`: what every backend must do, as cases that anyone can run. */
export type { Conformable, ConformanceCase, Harness, Trial, View } from './case.ts'
export { conversationCases } from './conversation.ts'
export { knowledgeCases } from './knowledge.ts'
export { pluginStorageCases, pluginStorageCasesOf } from './plugin-storage.ts'
export { conversationProperty } from './property/conversation.ts'
export { knowledgeProperty } from './property/knowledge.ts'
export { filterProperty } from './property/knowledge-filter.ts'
export type { PropertyOptions } from './property/options.ts'
export { stateProperty } from './property/state.ts'
export { formatReport, reportToJson, type CaseResultJson, type ConformanceReportJson } from './report.ts'
export {
  defineConformance,
  runCase,
  runConformance,
  wireOutage,
  type CaseOutcome,
  type CaseResult,
  type ConformanceDefinition,
  type ConformanceReport,
  type ConformanceRun,
  type TestRunner,
  type Wired,
} from './run.ts'
export { stateCases } from './state.ts'
