/** Documents as they are kept in the sidecar: a header of JSON, and behind it content, metadata and embedding as they are. */
import { HoldfastError } from '../errors.ts'
import type { Limits } from '../store/contract.ts'
import { isPlainObject } from '../store/json.ts'
import { fromBlob, toBlob } from './blob.ts'
import type { DocumentRecord } from './contract.ts'

/** A document and the vector that stands for it in the vector store. */
export interface KeptDocument {
  readonly record: DocumentRecord
  readonly tag: string
  /** By which the vector store deletes it; it may have chosen another than the tag. */
  readonly vectorId: string
}

interface Header {
  readonly tag: string
  readonly vectorId: string
  readonly contentHash: string
  readonly createdAt: number
  readonly escaped: boolean
  readonly contentBytes: number
  readonly metadataBytes: number
}

const LENGTH_BYTES = 4
/** The length, the names, and a vector's id of 256 characters, each of which JSON may need six bytes for. */
const MAX_HEADER_BYTES = 2_048

/** What fits in values of so many bytes: half is for the content, a quarter each for metadata and embedding. */
export function documentLimits(valueBytes: number): Limits {
  const room = valueBytes - MAX_HEADER_BYTES
  return {
    contentBytes: Math.floor(room / 2),
    jsonBytes: Math.floor(room / 4),
    dimension: Math.floor(room / 4 / Float32Array.BYTES_PER_ELEMENT),
  }
}

export function encodeDocument({ record, tag, vectorId }: KeptDocument): Uint8Array {
  const [content, metadata] = [Buffer.from(record.content), Buffer.from(record.metadata)]
  const { contentHash, createdAt, escaped } = record
  const sizes = { contentBytes: content.length, metadataBytes: metadata.length }
  const header: Header = { tag, vectorId, contentHash, createdAt, escaped, ...sizes }
  const head = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(LENGTH_BYTES)
  length.writeUInt32LE(head.length)
  return Buffer.concat([length, head, content, metadata, toBlob(record.embedding!)])
}

/** `CORRUPT` where another hand wrote it. */
export function decodeDocument(value: string | Uint8Array, id: string): KeptDocument {
  const bytes = toBuffer(value)
  const { header, end } = readHeader(bytes) ?? fail(id)
  const contentEnd = end + header.contentBytes
  const metadataEnd = contentEnd + header.metadataBytes
  const floats = bytes.length - metadataEnd
  if (floats < 0 || floats % Float32Array.BYTES_PER_ELEMENT !== 0) fail(id)
  const record: DocumentRecord = {
    id,
    content: bytes.toString('utf8', end, contentEnd),
    escaped: header.escaped,
    metadata: bytes.toString('utf8', contentEnd, metadataEnd),
    contentHash: header.contentHash,
    createdAt: header.createdAt,
    embedding: fromBlob(bytes.subarray(metadataEnd)),
  }
  return { record, tag: header.tag, vectorId: header.vectorId }
}

/** Only what is known of its vector: nothing where the document is damaged, which must not keep it from being replaced or deleted. */
export function decodeVector(value: string | Uint8Array): Omit<KeptDocument, 'record'> {
  const { tag = '', vectorId = '' } = readHeader(toBuffer(value))?.header ?? {}
  return { tag, vectorId }
}

function toBuffer(value: string | Uint8Array): Buffer {
  return typeof value === 'string' ? Buffer.from(value) : Buffer.from(value.buffer, value.byteOffset, value.byteLength)
}

function readHeader(bytes: Buffer): { header: Header; end: number } | undefined {
  const end = bytes.length < LENGTH_BYTES ? Infinity : LENGTH_BYTES + bytes.readUInt32LE()
  const header = end > bytes.length ? undefined : parsed(bytes.toString('utf8', LENGTH_BYTES, end))
  return isHeader(header) ? { header, end } : undefined
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isHeader(value: unknown): value is Header {
  if (!isPlainObject(value)) return false
  const { tag, vectorId, contentHash, createdAt, escaped, contentBytes, metadataBytes } = value
  const isText = [tag, vectorId, contentHash].every((text) => typeof text === 'string')
  return isText && typeof escaped === 'boolean' && [createdAt, contentBytes, metadataBytes].every(Number.isSafeInteger)
}

function fail(id: string): never {
  throw new HoldfastError('CORRUPT', `what the sidecar holds of document ${JSON.stringify(id)} is no document`)
}
