/** `holdfast serve`: the configured stores over HTTP, until the process is told to end. */
import { once } from 'node:events'
import { openPersistence, type Persistence } from '../../index.ts'
import { serve, type RunningServer } from '../../server/index.ts'
import { EXIT } from '../failure.ts'
import { persistenceOptions, type GlobalOptions } from '../globals.ts'
import { out } from '../terminal.ts'
import { resolve } from 'node:path'

export interface ServeCommandOptions extends GlobalOptions {
  readonly host: string
  readonly port: number
  readonly maxConcurrent?: number
  readonly maxBodyMib?: number
  readonly quiet?: boolean
}

const MIB = 2 ** 20

export async function serveCommand(options: ServeCommandOptions): Promise<number> {
  const { host, port, maxConcurrent, maxBodyMib } = options
  await using persistence = await openPersistence(persistenceOptions(options))
  const limits = {
    ...(maxConcurrent === undefined ? {} : { maxConcurrent }),
    ...(maxBodyMib === undefined ? {} : { maxBodyBytes: maxBodyMib * MIB }),
  }
  const log = options.quiet === true ? () => undefined : undefined
  await using server = await serve({ persistence, host, port, limits, log })
  out(welcome(server, persistence, options))
  await Promise.race(['SIGINT', 'SIGTERM'].map((signal) => once(process, signal)))
  out('finishing what is under way …\n')
  return EXIT.ok
}

function welcome(
  { url, needsToken }: RunningServer,
  { conversation, knowledge, state }: Persistence,
  options: GlobalOptions,
): string {
  const place = [conversation, knowledge, state].some(({ backend }) => backend === 'sqlite')
    ? `  data        ${resolve(options.dir ?? '.holdfast')}\n`
    : ''
  const access = needsToken
    ? '  access      by token: Authorization: Bearer hf_…\n'
    : '  access      no token yet, so only this machine may come in; make one with: holdfast token create NAME\n'
  return [
    `holdfast listens on ${url}\n`,
    `  stores      conversation: ${conversation.backend}, knowledge: ${knowledge.backend}, state: ${state.backend}\n`,
    place,
    access,
    '\nTry:\n',
    `  curl -X PUT  '${url}/v1/state/value?key=greeting' -H 'content-type: application/json' -d '"hello"'\n`,
    `  curl         '${url}/v1/state/value?key=greeting'\n`,
    `  curl         '${url}/openapi.json'\n`,
    '\nCtrl-C ends it.\n',
  ].join('')
}
