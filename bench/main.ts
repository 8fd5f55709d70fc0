/**
 * `npm run bench`: all figures of one run, as ratios to a baseline measured in the same run. What takes long or needs more than Node is
 * asked for: `npm run bench -- --vectors`, `--server`, `--dify`, `--servers [names…]`.
 */
import { asyncSqlite } from './async-sqlite.ts'
import { coldStart } from './cold-start.ts'
import { dify } from './dify.ts'
import { embedded } from './embedded.ts'
import { pluginStorage } from './plugin-storage.ts'
import { server } from './server.ts'
import { servers } from './servers.ts'
import { vectors } from './vectors.ts'

const [flag, ...names] = process.argv.slice(2)

const ASKED_FOR: Readonly<Record<string, () => Promise<string>>> = {
  '--vectors': () => vectors(),
  '--server': server,
  '--dify': dify,
  '--servers': () => servers(names),
}

async function everything(): Promise<void> {
  console.log(`${coldStart()}\n`)
  console.log(`${await embedded()}\n`)
  console.log(`${await asyncSqlite()}\n`)
  console.log(await pluginStorage())
}

if (flag === undefined) await everything()
else if (Object.hasOwn(ASKED_FOR, flag)) console.log(await ASKED_FOR[flag]!())
else {
  console.error(`npm run bench takes nothing, or one of ${Object.keys(ASKED_FOR).join(', ')}`)
  process.exitCode = 2
}
