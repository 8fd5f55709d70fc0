/** `holdfast/dify`: a host for unmodified Dify plugins. */
export type { EndpointRequest, EndpointResponse } from './endpoint.ts'
export { DifyPluginError } from './failures.ts'
export { DifyHost, type DifyHostOptions } from './host.ts'
export type { Manifest, ToolDeclaration } from './manifest.ts'
export type { DifyPlugin, InvokeHandler, InvokeOptions, PluginRules, ToolCall } from './plugin.ts'
export type { DifyTransactions, ServerlessOptions, TransactionOptions } from './serverless.ts'
export type { RunOptions } from './stdio.ts'
export type { DifyListener, ListenOptions, RemoteKey } from './tcp.ts'
