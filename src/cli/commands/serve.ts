/** `holdfast serve`: the configured stores over HTTP, until the process is told to end. */
import { openPersistence, type Persistence } from '../../index.ts'
import { serve, type RunningServer } from '../../server/index.ts'
import { EXIT } from '../failure.ts'
import { persistenceOptions, settingsOf, type GlobalOptions } from '../globals.ts'
import { out, printable } from '../terminal.ts'

export interface ServeCommandOptions extends GlobalOptions {
  readonly host: string
  readonly port: number
  readonly requireToken?: boolean
  readonly maxConcurrent?: number
  readonly maxBodyMib?: number
  /** Seconds. */
  readonly drain?: number
  readonly quiet?: boolean
}

const MIB = 2 ** 20

export async function serveCommand(options: ServeCommandOptions): Promise<number> {
  const { host, port, requireToken, maxConcurrent, maxBodyMib, drain } = options
  await using persistence = await openPersistence(persistenceOptions(options))
  const limits = {
    ...(maxConcurrent === undefined ? {} : { maxConcurrent }),
    ...(maxBodyMib === undefined ? {} : { maxBodyBytes: maxBodyMib * MIB }),
  }
  const drainMs = drain === undefined ? undefined : Math.ceil(drain * 1_000)
  const log = options.quiet === true ? () => undefined : undefined
  await using server = await serve({ persistence, host, port, requireToken, limits, drainMs, log })
  const told = signalled()
  out(welcome(server, persistence, (await settingsOf(options)).dir))
  await told
  out('finishing what is under way …\n')
  return EXIT.ok
}

/** A signal ends the server in order; a second one, of either kind, ends it at once. */
async function signalled(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const end = (): void => resolve()
  process.once('SIGINT', end).once('SIGTERM', end)
  await promise
  process.off('SIGINT', end).off('SIGTERM', end)
}

function welcome({ url, needsToken }: RunningServer, { conversation, knowledge, state }: Persistence, dir: string): string {
  const isHere = [conversation, knowledge, state].some(({ backend }) => EMBEDDED.test(backend))
  const auth = needsToken ? ` -H "authorization: Bearer $HOLDFAST_TOKEN"` : ''
  return [
    `holdfast listens on ${url}\n`,
    `  started     in ${Math.round(performance.now())} ms\n`,
    `  stores      conversation: ${conversation.backend}, knowledge: ${knowledge.backend}, state: ${state.backend}\n`,
    isHere ? `  data        ${printable(dir)}\n` : '',
    needsToken
      ? '  access      by token: Authorization: Bearer hf_…\n'
      : '  access      no token yet, so only this machine may come in; make one with: holdfast token create NAME\n',
    '\nTry:\n',
    `  curl -X PUT  '${url}/v1/state/value?key=greeting' -H 'content-type: application/json' -d '"hello"'${auth}\n`,
    `  curl         '${url}/v1/state/value?key=greeting'${auth}\n`,
    `  curl         '${url}/openapi.json'\n`,
    '\nCtrl-C ends it.\n',
  ].join('')
}

/** Backends that keep their data in files of this machine. */
const EMBEDDED = /sqlite|^(?:file|json)$/
