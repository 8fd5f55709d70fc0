/** Filters of the backend tier: what a store would have refused is refused here, since engines believe what they are given. */
import { HoldfastError, type CollectionRecord, type FilterNode, type KnowledgeBackend } from '../index.ts'
import { checkDeclared } from '../knowledge/filter.ts'

type Capabilities = KnowledgeBackend['capabilities']['filter']

/** `UNSUPPORTED` for what the backend behind the server cannot compile. */
export function checkFilter(filter: FilterNode | undefined, capabilities: Capabilities, { fields }: CollectionRecord): void {
  if (filter === undefined) return
  const lacking = lack(filter, capabilities)
  if (lacking !== undefined)
    throw new HoldfastError('UNSUPPORTED', `the backend cannot filter ${lacking}`, { outcome: 'not-applied' })
  checkDeclared(filter, capabilities, fields)
}

function lack(node: FilterNode, capabilities: Capabilities): string | undefined {
  if ('nodes' in node) return node.nodes.map((each) => lack(each, capabilities)).find((lacking) => lacking !== undefined)
  if ('node' in node) return lack(node.node, capabilities)
  if (node.path.length > 1 && !capabilities.nested) return 'by nested fields'
  if (node.op === 'exists' && !capabilities.exists) return 'by whether a field exists'
  const values: readonly unknown[] = 'values' in node ? node.values : 'value' in node ? [node.value] : []
  return values.includes(null) && !capabilities.null ? 'by null' : undefined
}
