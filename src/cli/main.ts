#!/usr/bin/env node
/** The command `holdfast`. It imports nothing before the Node version is known to be one that can run the rest. */
import { isNodeRecent, NODE_NEEDED } from './node-version.ts'

if (isNodeRecent(process.versions.node)) {
  const { main } = await import('./program.ts')
  process.exitCode = await main(process.argv.slice(2))
  // Work is done and stores are closed; a client library that still holds a socket must not keep the command from ending.
  setTimeout(() => process.exit(), 1_000).unref()
} else {
  process.stderr.write(`error UNSUPPORTED: Holdfast needs Node ${NODE_NEEDED} or later, and this is ${process.version}\n`)
  process.stderr.write(`  Install a newer Node, or run it with the one of this project: npx -p node@24 -p holdfast holdfast …\n`)
  process.exitCode = 1
}
