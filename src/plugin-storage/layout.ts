/** What lies where: the state spaces of scopes, and the keys within one. Plugins choose only what follows `v:` and an expiry's time. */
import { hash, randomBytes } from 'node:crypto'

/** Whose storage it is. */
export interface ScopeId {
  readonly workspaceId: string
  /** `author/name`. */
  readonly pluginId: string
}

/** The space of one scope. `owner` is the workspace of the state store beneath. */
export function scopeSpace(owner: string, { workspaceId, pluginId }: ScopeId): string {
  return `p:${digest([owner, workspaceId, pluginId])}`
}

/** The space that lists the scopes. */
export function indexSpace(owner: string): string {
  return `pi:${digest([owner])}`
}

/** Where the index lists a scope: those of a workspace lie together. */
export function indexKey({ workspaceId, pluginId }: ScopeId): string {
  return `${indexPrefix(workspaceId)}${digest([workspaceId, pluginId])}`
}

export function indexPrefix(workspaceId: string): string {
  return `${digest([workspaceId])}:`
}

/** The texts as JSON read back as one list only, so different lists have different digests. */
function digest(texts: readonly string[]): string {
  return hash('sha256', JSON.stringify(texts), 'hex')
}

/** What is known of the scope itself. */
export const META = 'meta'
/** Bytes of all values, as an integer. */
export const USED = 'used'
export const VALUES = 'v:'
export const CHUNK_PREFIX = 'c:'
export const WRITING_PREFIX = 'g:'
export const EXPIRY_PREFIX = 'x:'

export function valueKey(key: string): string {
  return VALUES + key
}

/** A generation is the pieces of one large value: when it was begun, and what no other has. */
export function newGeneration(): string {
  return timeText(Date.now()) + randomBytes(10).toString('hex')
}

export const GENERATION_LENGTH = 29

export function generationTime(generation: string): number {
  return parseInt(generation.slice(0, TIME_DIGITS), 36)
}

export function chunkKey(generation: string, index: number): string {
  return `${CHUNK_PREFIX}${generation}:${String(index).padStart(8, '0')}`
}

export function generationOfChunk(key: string): string {
  return key.slice(CHUNK_PREFIX.length, CHUNK_PREFIX.length + GENERATION_LENGTH)
}

/** There while the generation is being written. */
export function writingKey(generation: string): string {
  return WRITING_PREFIX + generation
}

/** Says that a value may have ended at a time; in the order of these. */
export function expiryKey(expiresAt: number, key: string): string {
  return `${EXPIRY_PREFIX}${timeText(expiresAt)}:${key}`
}

export function readExpiryKey(expiry: string): { expiresAt: number; key: string } {
  const timeEnd = EXPIRY_PREFIX.length + TIME_DIGITS
  return { expiresAt: parseInt(expiry.slice(EXPIRY_PREFIX.length, timeEnd), 36), key: expiry.slice(timeEnd + 1) }
}

/** What lies under keys that only have to be there. */
export const MARK = '1'

/** Enough for every time until the year 5188. */
const TIME_DIGITS = 9

function timeText(ms: number): string {
  return ms.toString(36).padStart(TIME_DIGITS, '0')
}
