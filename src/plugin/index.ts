/** `holdfast/plugin`: plugins in TypeScript. */
export {
  definePlugin,
  InProcessPlugin,
  Plugin,
  type InvokeRequest,
  type PluginDefinition,
  type PluginManifest,
  type SessionStorage,
  type ToolDefinition,
  type ToolFunction,
  type ToolParameter,
  type ToolSession,
} from './define.ts'
export { blob, json, message, text, type ToolMessage } from './messages.ts'
export { serveRemote, serveStdio, start, type RemoteOptions } from './start.ts'
