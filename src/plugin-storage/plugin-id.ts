/** Plugin ids: `author/name`. */
import { invalid, typeName } from '../store/text.ts'

const PLUGIN_ID = /^([\w-]{1,64}\/[\w-]{1,128})(?::\d{1,4}(?:\.\d{1,4}){1,3}(?:-\w{1,16})?)?(?:@[0-9a-f]{32,64})?$/

/**
 * The id `author/name` of a plugin, so that it keeps its data over an upgrade: the version and checksum of a full identifier,
 * `author/name:1.2.3@<hex>`, are left off. Anything else is `INVALID_ARGUMENT`.
 */
export function parsePluginId(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError(`pluginId must be a string, not ${typeName(value)}`)
  const id = PLUGIN_ID.exec(value)?.[1]
  if (id === undefined) {
    throw invalid(
      'pluginId must be author/name, of letters, digits, "_" and "-" (up to 64 and 128), or that with a version: author/name:1.2.3',
    )
  }
  return id
}
