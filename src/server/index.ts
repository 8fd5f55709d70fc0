/** `holdfast/server`: the stores over HTTP. */
export { serve, type RunningServer, type ServeOptions } from './serve.ts'
export { DEFAULT_LIMITS, type Limits } from './limits.ts'
export { jsonLog, type Line, type Log } from './log.ts'
export { Tokens, type Grant, type TokenInfo } from './tokens.ts'
