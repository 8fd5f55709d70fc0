/** Plugins for the real Python SDK: the code of each is a file in `tools`, and what stands around it is written here. */
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface PluginFiles {
  /** Name of the plugin, of its provider and tool, and of the file in `tools`. */
  readonly name: string
  readonly author?: string
  /** Bytes; `false`: no storage. */
  readonly storage?: number | false
  readonly version?: string
  readonly endpoint?: boolean
  /** Parameters of the tool, all of them texts. */
  readonly parameters?: readonly string[]
}

/** Writes the plugin into an empty folder, as its author would have it. */
export async function writePlugin(folder: string, files: PluginFiles): Promise<void> {
  const { name, endpoint = false } = files
  for (const part of ['provider', 'tools', 'group', 'endpoints', '_assets']) await mkdir(join(folder, part))
  const write = (path: string, lines: readonly string[]): Promise<void> => writeFile(join(folder, path), `${lines.join('\n')}\n`)
  await write('_assets/icon.svg', ['<svg xmlns="http://www.w3.org/2000/svg"/>'])
  await write('manifest.yaml', manifest(files))
  await write('main.py', [
    'from dify_plugin import DifyPluginEnv, Plugin',
    'plugin = Plugin(DifyPluginEnv(MAX_REQUEST_TIMEOUT=120))',
    'if __name__ == "__main__":',
    '    plugin.run()',
  ])
  const code = join(import.meta.dirname, 'tools', `${name}.py`)
  await copyFile(code, join(folder, endpoint ? `endpoints/${name}.py` : `tools/${name}.py`))
  await (endpoint ? writeEndpoint(write, name) : writeTool(write, files))
}

type Write = (path: string, lines: readonly string[]) => Promise<void>

function manifest({ name, author = 'acme', storage = 1_048_576, version = '0.0.1', endpoint = false }: PluginFiles): string[] {
  const permission =
    storage === false ? '{ storage: { enabled: false, size: 1048576 } }' : `{ storage: { enabled: true, size: ${storage} } }`
  return [
    `version: ${version}`,
    'type: plugin',
    `author: ${author}`,
    `name: ${name}`,
    `label: { en_US: ${name} }`,
    `description: { en_US: ${name} }`,
    'icon: icon.svg',
    'created_at: 2026-01-01T00:00:00Z',
    `resource: { memory: 268435456, permission: ${permission} }`,
    `plugins: { ${endpoint ? `endpoints: [group/${name}.yaml]` : `tools: [provider/${name}.yaml]`} }`,
    'meta: { version: 0.0.1, arch: [amd64, arm64], runner: { language: python, version: "3.12", entrypoint: main } }',
  ]
}

async function writeTool(write: Write, { name, author = 'acme', parameters = [] }: PluginFiles): Promise<void> {
  const label = `{ en_US: ${name} }`
  await write(`provider/${name}.yaml`, [
    `identity: { author: ${author}, name: ${name}, label: ${label}, description: ${label}, icon: icon.svg }`,
    `tools: [tools/${name}.yaml]`,
    `extra: { python: { source: provider/${name}.py } }`,
  ])
  await write(`provider/${name}.py`, [
    'from dify_plugin import ToolProvider',
    'class Provider(ToolProvider):',
    '    def _validate_credentials(self, credentials):',
    '        pass',
  ])
  await write(`tools/${name}.yaml`, [
    `identity: { author: ${author}, name: ${name}, label: ${label} }`,
    `description: { human: ${label}, llm: ${name} }`,
    'parameters:',
    ...parameters.map(
      (parameter) =>
        `  - { name: ${parameter}, type: string, required: true, label: ${label}, human_description: ${label}, llm_description: ${name}, form: llm }`,
    ),
    ...(parameters.length === 0 ? ['  []'] : []),
    `extra: { python: { source: tools/${name}.py } }`,
  ])
}

async function writeEndpoint(write: Write, name: string): Promise<void> {
  await write(`group/${name}.yaml`, ['settings: []', `endpoints: [endpoints/${name}.yaml]`])
  await write(`endpoints/${name}.yaml`, [`path: /${name}`, 'method: POST', `extra: { python: { source: endpoints/${name}.py } }`])
}
