/** What a plugin says of itself to a host. The fields are those that Dify's hosts check, filled in where a definition need not say them. */
import type { JsonObject } from '../index.ts'
import type { Plugin, ToolDefinition, ToolParameter } from './define.ts'

const MEMORY_BYTES = 268_435_456
const ICON = 'icon.svg'
/** Hosts know no other language; by remote debugging they never run what they are told here. */
const RUNNER = { language: 'python', version: '3.12', entrypoint: 'main' }
/** A plugin has no date of its own, and hosts want one. */
const CREATED_AT = '2026-01-01T00:00:00Z'

export function wireManifest({ manifest, sizeBytes, usesStorage }: Plugin): JsonObject {
  const { author, name, version, description = name } = manifest
  return {
    version,
    type: 'plugin',
    author,
    name,
    label: inEnglish(name),
    description: inEnglish(description),
    icon: ICON,
    created_at: CREATED_AT,
    resource: { memory: MEMORY_BYTES, permission: { storage: { enabled: usesStorage, size: sizeBytes } } },
    plugins: { tools: [`provider/${name}.yaml`] },
    meta: { version: '0.0.1', arch: ['amd64', 'arm64'], runner: RUNNER },
  }
}

/** One provider, of the plugin's name, with all tools. */
export function toolDeclarations({ manifest, tools }: Plugin): JsonObject[] {
  const { author, name, description = name } = manifest
  const identity = { author, name, label: inEnglish(name), description: inEnglish(description), icon: ICON, tags: [] }
  const declared = Array.from(tools, ([tool, definition]) => toolDeclaration(author, tool, definition))
  return [{ identity, credentials_schema: [], tools: declared, extra: { python: { source: `provider/${name}.py` } } }]
}

function toolDeclaration(author: string, name: string, { description = name, parameters = [] }: ToolDefinition): JsonObject {
  return {
    identity: { author, name, label: inEnglish(name) },
    description: { human: inEnglish(description), llm: description },
    parameters: parameters.map(parameterDeclaration),
    extra: { python: { source: `tools/${name}.py` } },
  }
}

function parameterDeclaration({ name, type, required = false, description = name }: ToolParameter): JsonObject {
  return {
    name,
    type,
    required,
    label: inEnglish(name),
    human_description: inEnglish(description),
    llm_description: description,
    form: 'llm',
  }
}

function inEnglish(text: string): JsonObject {
  return { en_US: text }
}

/** A picture that every host can show. */
export const ICON_FILE = { filename: ICON, data: Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>') }
