/** `npm run bench`: all figures of one run, as ratios to a baseline measured in the same run. `-- --servers [names…]`: those on servers. */
import { asyncSqlite } from './async-sqlite.ts'
import { coldStart } from './cold-start.ts'
import { embedded } from './embedded.ts'
import { pluginStorage } from './plugin-storage.ts'
import { servers } from './servers.ts'

const [flag, ...names] = process.argv.slice(2)
if (flag === '--servers') console.log(await servers(names))
else {
  console.log(`${coldStart()}\n`)
  console.log(`${await embedded()}\n`)
  console.log(`${await asyncSqlite()}\n`)
  console.log(await pluginStorage())
}
