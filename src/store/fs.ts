/**
 * Node's synchronous file functions, for what is done once, at a start. `import 'node:fs'` would also load streams, readline and the promise
 * API, behind the getters of its ES module face: more than all of ours together.
 */
const { process: node } = globalThis

export const { existsSync, readFileSync, realpathSync, statSync } = node.getBuiltinModule('node:fs')
