/** `npm run bench`: all figures of one run, as ratios to a baseline measured in the same run. */
import { asyncSqlite } from './async-sqlite.ts'
import { coldStart } from './cold-start.ts'
import { embedded } from './embedded.ts'
import { pluginStorage } from './plugin-storage.ts'

console.log(`${coldStart()}\n`)
console.log(`${await embedded()}\n`)
console.log(`${await asyncSqlite()}\n`)
console.log(await pluginStorage())
