/** What a host of Dify plugins decides for all of them. */
import type { JsonObject, JsonValue } from '../index.ts'
import type { PluginHost } from '../plugin-storage/index.ts'

/** Where a plugin's call comes from. */
export interface CallOrigin {
  readonly pluginId: string
  readonly workspaceId: string
  readonly sessionId: string
}

/**
 * Answers another call of a plugin than storage: of a model, an app, a tool … What it gives, or yields one after another, is sent to the
 * plugin. A `HoldfastError` is told there with its code and message, of anything else only that the call failed.
 */
export type InvokeHandler = (
  type: string,
  request: JsonObject,
  origin: CallOrigin,
) => JsonValue | Promise<JsonValue> | AsyncIterable<JsonValue>

export interface PluginRules {
  readonly plugins: PluginHost
  /** `get` of a missing key is an error in the plugin. Default false: `b""`. */
  readonly strict?: boolean | undefined
  /** Default: every call but those of storage is an error in the plugin. */
  readonly onInvoke?: InvokeHandler | undefined
  /** What the plugin logs or prints, and what is wrong with what it sends. Default: nobody listens. */
  readonly onLog?: ((pluginId: string, text: string) => void) | undefined
  /** Calls of one plugin that may wait for an answer; more are refused. Default 1,000. */
  readonly maxCalls?: number | undefined
  /** Bytes that one plugin may make the host hold: calls under way, answers that it does not read, messages that nobody takes. Default 64 MiB. */
  readonly maxPendingBytes?: number | undefined
}

export const MAX_CALLS = 1_000
export const MAX_PENDING_BYTES = 64 * 2 ** 20
/** A value of 64 MiB, as it comes in hexadecimal. */
export const MAX_LINE_BYTES = 128 * 2 ** 20

const MAX_LOG = 4_096

/** Tells of something that is no answer; a listener that throws does not disturb the connection. */
export function log({ onLog }: PluginRules, pluginId: string, text: string): void {
  if (onLog !== undefined) queueMicrotask(() => onLog(pluginId, text.slice(0, MAX_LOG)))
}
