/**
 * The servers that tests use: `npm run services [names…] [-- --keep]`, `npm run services:stop [names…]`. Without names: the required
 * ones; `all`: every one. `-- --list` prints the names of those that run.
 */
import { parseArgs } from 'node:util'
import { NAMES, REQUIRED, TOOL_NAMES } from './services/catalogue.ts'
import { servicesHome, type Service } from './services/home.ts'
import { down, running, since, up } from './services/up.ts'

const USAGE = `npm run services [names…]        start, the required ones where none is named, all for every one; -- --keep leaves their data
npm run services:stop [names…]   stop, all where none is named
npm run services -- --list       print the names of those that run
services: ${NAMES.join(', ')}
required: ${REQUIRED.join(', ')}
installed only, with the required ones and with all: ${TOOL_NAMES.join(', ')}`

function table(services: readonly Service[]): string {
  const rows = services.map(({ name, engine, version, url, category }) => {
    // What is shown may be copied into a bug report; the passwords are in the file.
    return [name, `${engine} ${version}`, category, url.replace(/:[^:@/]*@/, ':…@')]
  })
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')).join('\n')
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { keep: { type: 'boolean' }, stop: { type: 'boolean' }, list: { type: 'boolean' }, help: { type: 'boolean' } },
  })
  if (values.help === true) return console.log(USAGE)
  const home = servicesHome()
  if (values.list === true) return running(home).forEach((name) => console.log(name))
  const began = performance.now()
  const progress = (line: string): void => console.log(line)
  if (values.stop === true) {
    const ended = await down(home, positionals, progress)
    return console.log(ended.length === 0 ? 'nothing was running' : `${ended.length} stopped`)
  }
  const services = await up({ home, names: positionals, keep: values.keep, progress })
  if (services.length === 0) return console.log(`ready after ${since(began)}`)
  console.log(`${table(services)}\nready after ${since(began)}; with passwords in ${home}/services.json`)
}

try {
  await main()
} catch (error) {
  console.error((error as Error).message)
  process.exitCode = 1
}
