/** How invocations of plugins fail. */
import { HoldfastError, type JsonObject } from '../index.ts'

const MAX_NAME = 256
const MAX_TEXT = 64 * 1_024

/** What a plugin raised. */
export class DifyPluginError extends Error {
  readonly pluginId: string
  /** Name of the exception in the plugin. */
  readonly errorType: string
  readonly traceback: string | undefined

  constructor(pluginId: string, { error_type: errorType, message, args }: JsonObject) {
    super(typeof message === 'string' ? message.slice(0, MAX_TEXT) : 'the plugin failed')
    this.name = 'DifyPluginError'
    this.pluginId = pluginId
    this.errorType = typeof errorType === 'string' ? errorType.slice(0, MAX_NAME) : 'Exception'
    const traceback = typeof args === 'object' && args !== null && !Array.isArray(args) ? args['traceback'] : undefined
    this.traceback = typeof traceback === 'string' ? traceback.slice(0, MAX_TEXT) : undefined
  }
}

/** The plugin is not there any more. What it was doing may have been done. */
export function lost(pluginId: string, why: string): HoldfastError {
  return new HoldfastError('UNAVAILABLE', `the plugin ${pluginId} is gone: ${why}`, { outcome: 'unknown' })
}
