/**
 * The synchronous file functions that discovery needs. `import 'node:fs'` would also load streams, readline and the promise API, behind the
 * getters of its ES module face: more than all of ours together.
 */
export const { existsSync, readFileSync, realpathSync, statSync } = process.getBuiltinModule('node:fs')
