/** A commit as DynamoDB takes it: one action a key, each with the condition that it rests on. */
import type { DynamoValue } from '../engines/dynamodb.ts'
import type { StateAdd, StateCommit, StateCommitResult, StateSet } from './contract.ts'
import { encodeExpiry, encodeValue, itemKey, type Stored } from './dynamodb-items.ts'
import { addTo } from './values.ts'

export type Refusal = Extract<StateCommitResult, { applied: false }>

/** All that a commit says of one key. */
export interface Action {
  readonly key: string
  /** Undefined: whatever is there. */
  check?: string | null | undefined
  set?: StateSet
  delete?: true
  add?: StateAdd
}

/** What was seen under a key: the basis of a write that depends on it. */
export type Seen = Stored | 'absent'

/** The actions in the order in which a refusal is looked for; a refusal where two checks of a key contradict each other. */
export function actionsOf({ checks = [], set = [], delete: unwanted = [], add = [] }: StateCommit): Action[] | Refusal {
  const actions = new Map<string, Action>()
  const actionOn = (key: string): Action => {
    const action = actions.get(key) ?? { key }
    actions.set(key, action)
    return action
  }
  for (const { key, version } of checks) {
    const action = actionOn(key)
    if (action.check !== undefined && action.check !== version) return { applied: false, reason: 'check', key }
    action.check = version
  }
  for (const item of set) actionOn(item.key).set = item
  for (const key of unwanted) actionOn(key).delete = true
  for (const item of add) actionOn(item.key).add = item
  return [...actions.values()]
}

/** Whether what was seen refuses the action. */
export function refusalOf({ key, check, add }: Action, seen: Seen): Refusal | undefined {
  const version = seen === 'absent' ? null : seen.version
  if (check !== undefined && check !== version) return { applied: false, reason: 'check', key }
  const sum = add && addTo(seen === 'absent' ? undefined : seen.value, add)
  return typeof sum === 'string' ? { applied: false, reason: sum, key } : undefined
}

export interface Write {
  readonly operation: 'Put' | 'Update' | 'Delete' | 'ConditionCheck'
  readonly input: object
  /** The version that it replaces and no other; undefined where it may replace several. */
  readonly replaces?: string | undefined
  readonly deletes?: true
  /** The new value of an addition; undefined where DynamoDB adds. */
  readonly sum?: number
}

/** What all writes of one attempt share. */
export interface Moment {
  readonly space: string
  /** The version that keys get. */
  readonly version: string
  /** The clock of this machine: DynamoDB has none that conditions can name. */
  readonly now: number
}

const PRESENT = 'attribute_exists(#key) AND (attribute_not_exists(#expires) OR #expires > :now)'
const ABSENT = '(attribute_not_exists(#key) OR #expires <= :now)'
const NOT_EXPIRED = '(attribute_not_exists(#expires) OR #expires > :now)'
const SAME = `#version = :was AND ${NOT_EXPIRED}`
const SUMMABLE = 'attribute_type(#value, :number) AND #value >= :least AND #value <= :most'

/** The write of an action. `seen` is there where it depends on it, and does not refuse it. */
export function writeOf(action: Action, seen: Seen | undefined, moment: Moment): Write {
  const { set, add } = action
  if (add !== undefined) return seen === undefined ? addition(action, add, moment) : summed(action, add, seen, moment)
  if (set !== undefined) return set.ttlMs === 'keep' ? keeping(action, set, seen, moment) : put(action, set, moment)
  if (action.delete === true && action.check !== null && seen !== 'absent') return deletion(action, moment)
  return condition(action.key, action.check ?? null, moment)
}

/** That the key is as it was seen or is to be. */
export function condition(key: string, version: string | null, moment: Moment): Write {
  const text = version === null ? ABSENT : SAME
  return { operation: 'ConditionCheck', input: { Key: itemKey(moment.space, key), ...conditional(text, moment, version) } }
}

function put({ key, check }: Action, { value, ttlMs }: Omit<StateSet, 'key'>, moment: Moment): Write {
  const expiresAt = typeof ttlMs === 'number' ? moment.now + ttlMs : undefined
  const Item = {
    ...itemKey(moment.space, key),
    value: encodeValue(value),
    version: { S: moment.version },
    ...encodeExpiry(expiresAt),
  }
  const text = check === undefined ? undefined : check === null ? ABSENT : SAME
  return { operation: 'Put', input: { Item, ...conditional(text, moment, check) }, replaces: check ?? undefined }
}

/** An item that has expired keeps no TTL: it is replaced. */
function keeping(action: Action, { value }: StateSet, seen: Seen | undefined, moment: Moment): Write {
  const { key, check } = action
  if (check === null || (check === undefined && seen === 'absent')) return put({ key, check: null }, { value }, moment)
  return update(key, check, check === undefined ? NOT_EXPIRED : SAME, { ':value': encodeValue(value) }, moment)
}

function deletion({ key, check }: Action, moment: Moment): Write {
  const text = check === undefined ? PRESENT : SAME
  const input = { Key: itemKey(moment.space, key), ...conditional(text, moment, check) }
  return { operation: 'Delete', input, deletes: true, replaces: check ?? undefined }
}

/** To what was seen. */
function summed({ key }: Action, add: StateAdd, seen: Seen, moment: Moment): Write {
  const sum = addTo(seen === 'absent' ? undefined : seen.value, add) as number
  const value = String(sum)
  const write =
    seen === 'absent'
      ? put({ key, check: null }, { value }, moment)
      : update(key, seen.version, SAME, { ':value': encodeValue(value) }, moment)
  return { ...write, input: { ...write.input, ReturnValuesOnConditionCheckFailure: 'ALL_OLD' }, sum }
}

/** To whatever number is there, if the sum can be had. */
function addition({ key, check }: Action, { by, max = Infinity }: StateAdd, moment: Moment): Write {
  const top = Math.min(Math.floor(max), Number.MAX_SAFE_INTEGER)
  const values = {
    ':zero': { N: '0' },
    ':by': { N: String(by) },
    ':number': { S: 'N' },
    ':least': { N: String(Math.max(Number.MIN_SAFE_INTEGER, Number.MIN_SAFE_INTEGER - by)) },
    ':most': { N: String(Math.min(top - by, Number.MAX_SAFE_INTEGER)) },
  }
  // DynamoDB refuses parentheses that it does not need.
  const there = `${NOT_EXPIRED} AND ${SUMMABLE}`
  const text = by <= top ? `(attribute_not_exists(#key) OR (${there}))` : there
  const write = update(key, check, check === undefined ? text : `${SAME} AND ${text}`, values, moment)
  return { ...write, input: { ...write.input, ReturnValues: 'UPDATED_NEW', ReturnValuesOnConditionCheckFailure: 'ALL_OLD' } }
}

type Values = Readonly<Record<`:${string}`, DynamoValue>>

function update(key: string, was: string | null | undefined, text: string, values: Values, moment: Moment): Write {
  const value = ':by' in values ? 'if_not_exists(#value, :zero) + :by' : ':value'
  const UpdateExpression = `SET #value = ${value}, #version = :version`
  const all = { ...values, ':version': { S: moment.version } }
  const expressions = conditional(text, moment, was, UpdateExpression, all)
  return {
    operation: 'Update',
    input: { Key: itemKey(moment.space, key), UpdateExpression, ...expressions },
    replaces: was ?? undefined,
  }
}

const NAMES = { '#key': 'key', '#value': 'value', '#version': 'version', '#expires': 'expiresAt' }

/** DynamoDB refuses names and values that no expression uses. */
function conditional(
  text: string | undefined,
  moment: Moment,
  was: string | null | undefined,
  expression = '',
  values: Values = {},
): object {
  if (text === undefined) return {}
  const used = new Set(`${text} ${expression}`.match(/[#:]\w+/g))
  const pick = <T>(all: Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries(Object.entries(all).filter(([name]) => used.has(name)))
  return {
    ConditionExpression: text,
    ExpressionAttributeNames: pick(NAMES),
    ExpressionAttributeValues: pick<DynamoValue>({ ...values, ':now': { N: String(moment.now) }, ':was': { S: was ?? '' } }),
  }
}
