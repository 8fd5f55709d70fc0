/** Redis and Valkey, which differ by their programs: alone, as a cluster, and as a pair that fails over. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ask, giveTo, inside, installChroot, isChrootInstalled } from './chroot.ts'
import { newPassword, type Engine, type Place, type Plan, type Planned } from './engine.ts'
import { freePort, freePorts } from './ports.ts'
import type { ProcessSpec } from './process.ts'

type Product = 'redis' | 'valkey'

const LABELS: Readonly<Record<Product, string>> = { redis: 'Redis', valkey: 'Valkey' }
const SLOTS = 16_384
const MASTERS = 3
/** The name under which the sentinel knows the primary. */
const GROUP = 'holdfast'

/** Every write is in the file before its answer, so that a killed server comes back with all that it said. */
const CONFIGURATION = (name: string, port: number, password: string): string => `
port ${port}
bind 127.0.0.1
requirepass ${password}
masterauth ${password}
dir /srv
dbfilename ${name}.rdb
save ""
appendonly yes
appenddirname ${name}.aof
enable-debug-command yes
repl-diskless-sync-delay 0
`

const about = (product: Product, shape = ''): Pick<Engine, 'engine' | 'category' | 'isInstalled' | 'install'> => ({
  engine: `${LABELS[product]}${shape}`,
  category: 'real engine',
  isInstalled: isChrootInstalled,
  install: installChroot,
})

export function single(product: Product): Engine {
  return {
    name: product,
    ...about(product),
    plan: async (place) => {
      const [port, password] = [await freePort(), newPassword()]
      const processes = [server(product, place, product, port, password)]
      return owned(product, place, { processes, service: { url: urlOf(port, password) } })
    },
    answer: (planned) => version(product, planned, planned.url),
  }
}

/** Three masters; `nodes` are their URLs. */
export function cluster(product: Product): Engine {
  return {
    name: `${product}-cluster`,
    ...about(product, ' Cluster'),
    plan: async (place) => {
      const password = newPassword()
      const [ports, buses] = [await freePorts(MASTERS), await freePorts(MASTERS)]
      const node = (port: number, index: number): ProcessSpec =>
        server(product, place, `node-${index + 1}`, port, password, [
          'cluster-enabled yes',
          `cluster-port ${buses[index]}`,
          `cluster-config-file /srv/node-${index + 1}.nodes`,
          'cluster-node-timeout 2000',
        ])
      const nodes = ports.map((port) => urlOf(port, password))
      return owned(product, place, { processes: ports.map(node), service: { url: nodes[0]!, nodes, buses } })
    },
    settle: (planned) => joinNodes(product, planned),
    answer: (planned) => clusterAnswer(product, planned),
  }
}

/** A primary, its replica, and a sentinel that promotes the replica a second after the primary is gone. */
export function failover(product: Product): Engine {
  return {
    name: `${product}-failover`,
    ...about(product, ' with Sentinel'),
    plan: (place) => failoverPlan(product, place),
    settle: (planned) => watch(product, planned),
    answer: (planned) => failoverAnswer(product, planned),
  }
}

const urlOf = (port: number, password: string): string => `redis://:${password}@127.0.0.1:${port}`

function server(
  product: Product,
  { home, folder, log, isPrivate }: Place,
  name: string,
  port: number,
  password: string,
  more: readonly string[] = [],
): ProcessSpec {
  writeFileSync(join(folder, `${name}.conf`), `${CONFIGURATION(name, port, password)}${more.join('\n')}\n`, { mode: 0o600 })
  const argv = inside({ home, folder, user: product, isPrivate }, [`/usr/bin/${product}-server`, `/srv/${name}.conf`])
  return { name, argv, port, log: log(name) }
}

async function failoverPlan(product: Product, place: Place): Promise<Plan> {
  const password = newPassword()
  const [primary, replica, watcher] = await freePorts(3)
  const { home, folder, log, isPrivate } = place
  const lines = [`port ${watcher}`, 'bind 127.0.0.1', `requirepass ${password}`, 'dir /srv']
  writeFileSync(join(folder, 'sentinel.conf'), `${lines.join('\n')}\n`, { mode: 0o600 })
  const run = [`/usr/bin/${product}-server`, '/srv/sentinel.conf', '--sentinel']
  const argv = inside({ home, folder, user: product, isPrivate }, run)
  return owned(product, place, {
    processes: [
      server(product, place, 'primary', primary!, password),
      server(product, place, 'replica', replica!, password, [`replicaof 127.0.0.1 ${primary}`]),
      { name: 'sentinel', argv, port: watcher!, log: log('sentinel') },
    ],
    service: {
      url: urlOf(primary!, password),
      replica: urlOf(replica!, password),
      sentinel: urlOf(watcher!, password),
      sentinelGroup: GROUP,
    },
  })
}

/** The configurations are written; the servers, which rewrite them, are another user’s. */
async function owned(product: Product, { home, folder }: Place, plan: Plan): Promise<Plan> {
  await giveTo({ home, folder, user: product })
  return plan
}

async function command(product: Product, { home }: Planned, url: string, ...args: string[]): Promise<string> {
  const { hostname, port, password } = new URL(url)
  const argv = [`/usr/bin/${product}-cli`, '-h', hostname, '-p', port, '-t', '3', '-e', ...args]
  return (await ask(home, argv, { [`${product.toUpperCase()}CLI_AUTH`]: password, REDISCLI_AUTH: password })).trim()
}

async function version(product: Product, planned: Planned, url: string): Promise<string> {
  const info = await command(product, planned, url, 'INFO', 'server')
  const found = new RegExp(`^${product}_version:(\\S+)`, 'm').exec(info)?.[1]
  if (found === undefined) throw new Error(`no ${product}_version in ${info.slice(0, 200)}`)
  return found
}

async function joinNodes(product: Product, planned: Planned): Promise<void> {
  const [nodes, buses] = [planned['nodes'] as string[], planned['buses'] as number[]]
  for (const node of nodes) await command(product, planned, node, 'PING')
  for (const [index, node] of nodes.entries()) {
    const share = (part: number): string => String(Math.floor((part * SLOTS) / MASTERS))
    const last = String(Number(share(index + 1)) - 1)
    await command(product, planned, node, 'CLUSTER', 'ADDSLOTSRANGE', share(index), last)
    await command(product, planned, node, 'CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1))
  }
  for (const [index, node] of nodes.entries()) {
    if (index === 0) continue
    await command(product, planned, nodes[0]!, 'CLUSTER', 'MEET', '127.0.0.1', new URL(node).port, String(buses[index]))
  }
}

/** All of them must see all of them, and every slot served. */
async function clusterAnswer(product: Product, planned: Planned): Promise<string> {
  for (const node of planned['nodes'] as string[]) {
    const info = await command(product, planned, node, 'CLUSTER', 'INFO')
    for (const wanted of ['cluster_state:ok', `cluster_slots_ok:${SLOTS}`, `cluster_size:${MASTERS}`]) {
      if (!info.includes(wanted)) throw new Error(`not ${wanted}: ${info.split(/\s+/).slice(0, 7).join(' ')}`)
    }
  }
  return version(product, planned, planned.url)
}

/** A sentinel looks for replicas when it meets a primary, and then only every ten seconds: it meets it when the replica is there. */
async function watch(product: Product, planned: Planned): Promise<void> {
  const replication = await command(product, planned, planned['replica'] as string, 'INFO', 'replication')
  if (!replication.includes('master_link_status:up')) throw new Error('the replica does not follow')
  const tell = (...args: string[]): Promise<string> =>
    command(product, planned, planned['sentinel'] as string, 'SENTINEL', ...args)
  const { port, password } = new URL(planned.url)
  await tell('MONITOR', GROUP, '127.0.0.1', port, '1')
  await tell('SET', GROUP, 'auth-pass', password)
  await tell('SET', GROUP, 'down-after-milliseconds', '1000')
  await tell('SET', GROUP, 'failover-timeout', '5000')
}

async function failoverAnswer(product: Product, planned: Planned): Promise<string> {
  const [primary, replica, sentinel] = await Promise.all([
    command(product, planned, planned.url, 'INFO', 'replication'),
    command(product, planned, planned['replica'] as string, 'INFO', 'replication'),
    command(product, planned, planned['sentinel'] as string, 'SENTINEL', 'MASTER', GROUP),
  ])
  if (!primary.includes('role:master')) throw new Error('the primary is none')
  if (!replica.includes('master_link_status:up')) throw new Error('the replica does not follow')
  if (!/num-slaves\s+1/.test(sentinel)) throw new Error('the sentinel does not know the replica')
  return version(product, planned, planned.url)
}
