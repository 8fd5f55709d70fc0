/**
 * A backend that was written for version 1 is one today: this file is compiled by `npm run typecheck`. Where a line fails, the contract has
 * changed in a way that UPGRADING.md calls a new version.
 */
import type * as Now from '../../src/index.ts'
import type * as V1 from './v1.ts'

/** As a function type: methods would be compared as if what they are given could be anything. */
type Strict<T> = T extends (...args: infer A) => infer R ? (...args: A) => R : T

/** `true`, or the names of what an old object lacks or has otherwise than is expected of it today. */
export type Fits<Old, New> = {
  [M in keyof New]-?: M extends keyof Old
    ? Strict<NonNullable<Old[M]>> extends Strict<NonNullable<New[M]>>
      ? never
      : M
    : undefined extends New[M]
      ? never
      : M
}[keyof New] extends infer Wrong
  ? [Wrong] extends [never]
    ? true
    : Wrong
  : never

export const conversationHolds: Fits<V1.ConversationBackend, Now.ConversationBackend> = true
export const knowledgeHolds: Fits<V1.KnowledgeBackend, Now.KnowledgeBackend> = true
export const stateHolds: Fits<V1.StateBackend, Now.StateBackend> = true
