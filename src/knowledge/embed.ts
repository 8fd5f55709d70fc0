/** Calls the caller's `embed` and believes nothing of what it returns. */
import { HoldfastError } from '../errors.ts'
import { sha256 } from '../store/platform.ts'
import { redact } from '../store/redact.ts'
import { invalid, typeName } from '../store/text.ts'
import type { DocumentRecord, Embed } from './contract.ts'
import { toFloats, type Draft } from './records.ts'

/** One embedding a text. `method` names what needs them, for the error where the store has no `embed`. */
export async function embedTexts(embed: Embed | undefined, texts: readonly string[], method: string): Promise<Float32Array[]> {
  if (embed === undefined) {
    throw invalid(`${method}: an embedding is missing; give one, or give \`embed\` in the options of the store`)
  }
  const made: unknown = await called(embed, texts)
  if (!Array.isArray(made)) throw invalid(`embed must return an array of embeddings, not ${typeName(made)}`)
  if (made.length !== texts.length) throw invalid(`embed returned ${made.length} embeddings for ${texts.length} texts`)
  return made.map((embedding, i) => checked(embedding, `what embed returned [${i}]`))
}

/** The records of the drafts, completed. */
export async function embedDrafts(embed: Embed | undefined, drafts: readonly Draft[], method: string): Promise<DocumentRecord[]> {
  const texts = drafts.filter(({ record }) => record.embedding === undefined).map(({ text }) => text)
  const made = (texts.length === 0 ? [] : await embedTexts(embed, texts, method)).values()
  const hashes = await sha256(drafts.map(({ text }) => text))
  return drafts.map(({ record }, i) => ({
    ...record,
    contentHash: hashes[i]!.slice(0, 16),
    embedding: record.embedding ?? made.next().value,
  }))
}

async function called(embed: Embed, texts: readonly string[]): Promise<unknown> {
  try {
    return await embed(texts)
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new HoldfastError('UNAVAILABLE', `embed failed: ${redact(message)}`, { outcome: 'not-applied', cause })
  }
}

/** A wrong type is not the caller's argument here, so it must not become a TypeError of the call. */
function checked(embedding: unknown, what: string): Float32Array {
  try {
    return toFloats(embedding, what)
  } catch (error) {
    throw error instanceof TypeError ? invalid(error.message) : error
  }
}
