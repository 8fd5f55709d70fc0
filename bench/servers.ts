/** `npm run bench -- --servers`: stores on servers against the services' own clients, operation by operation, interleaved. */
import { cpus } from 'node:os'
import { readServices, servicesHome, type Service } from '../scripts/services/home.ts'
import { isAlive } from '../scripts/services/process.ts'
import { compare, table } from './measure.ts'
import { dynamodbState } from './servers/dynamodb-state.ts'
import type { ServerBench } from './servers/frame.ts'
import { gcsState } from './servers/gcs-state.ts'
import { pgvectorKnowledge } from './servers/pgvector-knowledge.ts'
import { postgresConversation, postgresPrepared, postgresScale } from './servers/postgres-conversation.ts'
import { postgresState } from './servers/postgres-state.ts'
import { redisState, valkeyState } from './servers/redis-state.ts'

/** Every comparison on a server, in the order of the report. */
const BENCHES: readonly ServerBench[] = [
  postgresConversation,
  postgresPrepared,
  postgresScale,
  postgresState,
  pgvectorKnowledge,
  redisState,
  valkeyState,
  dynamodbState,
  gcsState,
]

/** The tables of those whose title begins with one of the names, or of all; a service that does not run is named. */
export async function servers(names: readonly string[]): Promise<string> {
  const chosen = BENCHES.filter(({ title }) => names.length === 0 || names.some((name) => title.startsWith(name)))
  const found = readServices(servicesHome())
  const parts: string[] = []
  for (const bench of chosen) {
    const service = found[bench.service]
    const runs = service?.processes.every(isAlive) === true
    parts.push(runs ? await measured(bench, service) : `${bench.title}: not measured, run npm run services ${bench.service}`)
  }
  return `${parts.join('\n\n')}\n\n${cpus()[0]?.model ?? 'unknown CPU'} × ${cpus().length}, Node ${process.version}`
}

async function measured({ title, sides, prepare }: ServerBench, service: Service): Promise<string> {
  const { comparisons, close } = await prepare(service)
  try {
    const lines: string[][] = []
    for (const { what, rounds, contenders } of comparisons) {
      const [baseline, other] = await compare(contenders, rounds)
      const ratio = other!.medianUs / baseline!.medianUs
      lines.push([what, us(baseline!.medianUs), us(other!.medianUs), ratio.toFixed(2), `±${us(other!.spreadUs / 2)}`])
    }
    return table([`${title}, µs (p50), ${service.engine} ${service.version}`, ...sides, 'ratio', 'spread'], lines)
  } finally {
    await close()
  }
}

function us(value: number): string {
  return value < 100 ? value.toFixed(1) : value.toFixed(0)
}
