/** The catalogues by kind. */
import { CONVERSATION_CATALOGUE } from '../conversation/catalogue.ts'
import type { Kind } from '../errors.ts'
import { KNOWLEDGE_CATALOGUE } from '../knowledge/catalogue.ts'
import { STATE_CATALOGUE } from '../state/catalogue.ts'
import type { Catalogue } from '../store/factory.ts'

export const CATALOGUES: { readonly [K in Kind]: Catalogue } = {
  conversation: CONVERSATION_CATALOGUE,
  knowledge: KNOWLEDGE_CATALOGUE,
  state: STATE_CATALOGUE,
}
