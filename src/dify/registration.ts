/** What a plugin says before it is let in: its key, its manifest, its tools, its assets. */
import { createHash } from 'node:crypto'
import { HoldfastError } from '../index.ts'
import type { Line } from './lines.ts'
import { readManifest, readTools, type Manifest, type ToolDeclaration } from './manifest.ts'
import { isObject, objectFrom } from './protocol.ts'

type Lines = AsyncIterator<Line, void>

/** The key that the first line gives; an empty one where it gives none. */
export async function readHandshake(lines: Lines): Promise<string> {
  const { value: line, done } = await lines.next()
  const { type, data } = (done === true || line.cut ? undefined : objectFrom(line.text)) ?? {}
  const key = type === 'handshake' && isObject(data) ? data['key'] : undefined
  return typeof key === 'string' ? key : ''
}

/** Compared instead of secrets, so that they need not be of one length. */
export function digest(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

export interface Registration {
  readonly manifest: Manifest
  readonly tools: readonly ToolDeclaration[]
}

/** Everything up to the `end` of it. `heard` is called with each message. */
export async function readRegistration(lines: Lines, maxAssetBytes: number, heard: () => void): Promise<Registration> {
  let manifest: Manifest | undefined
  let tools: readonly ToolDeclaration[] = []
  let assetBytes = 0
  for (;;) {
    const { value: line, done } = await lines.next()
    if (done === true) throw invalid('the plugin hung up before it had registered')
    heard()
    const { type, data } = (line.cut ? undefined : objectFrom(line.text)) ?? {}
    if (type === 'end') break
    if (type === 'manifest_declaration') manifest = readManifest(data)
    else if (type === 'tool_declaration') tools = readTools(data)
    else if (type === 'asset_chunk') assetBytes += bytesOf(isObject(data) ? data['data'] : undefined)
    else if (!isDeclaration(type)) throw invalid('unknown message in the registration')
    if (assetBytes > maxAssetBytes) throw new HoldfastError('VALUE_TOO_LARGE', 'the assets of the plugin are too large')
  }
  if (manifest === undefined) throw invalid('the plugin sent no manifest')
  return { manifest, tools }
}

/** Of models, endpoints, strategies, data sources, triggers: what this host does not need to know. */
function isDeclaration(type: unknown): boolean {
  return typeof type === 'string' && type.endsWith('_declaration')
}

/** In base64. */
function bytesOf(data: unknown): number {
  return typeof data === 'string' ? Math.floor((data.length * 3) / 4) : 0
}

function invalid(what: string): HoldfastError {
  return new HoldfastError('INVALID_ARGUMENT', what)
}
