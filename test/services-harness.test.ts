/** The harness of the servers itself: its notes, its lock, its processes; with an engine that is installed, an instance of it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, statSync } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from 'redis'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { CATEGORIES, merged, readResults, resultsOf, type CaseRun, type SuiteResult, type Target } from '../scripts/results.ts'
import { chosen, NAMES, REQUIRED } from '../scripts/services/catalogue.ts'
import { checkPrivileges } from '../scripts/services/chroot.ts'
import type { Engine, Place, Plan } from '../scripts/services/engine.ts'
import { makeHome, readServices, servicesHome, writeServices, type Service } from '../scripts/services/home.ts'
import { launch, prepare, processesIn, stopIn } from '../scripts/services/instance.ts'
import { locked } from '../scripts/services/lock.ts'
import { freePort, freePorts } from '../scripts/services/ports.ts'
import { isAlive, killTree, start, startOf, stop, type ProcessId, type ProcessSpec } from '../scripts/services/process.ts'
import { down, running, up } from '../scripts/services/up.ts'
import { CATALOGUES } from '../src/registry/catalogues.ts'
import type { CatalogueLine } from '../src/store/factory.ts'
import { privateService } from './services.ts'
import { exec, ROOT, scratch } from './support.ts'

const SERVICE: Service = {
  name: 'redis',
  url: 'redis://:secret@h',
  engine: 'R',
  category: 'real engine',
  version: '1',
  processes: [],
}

/** A server in a few lines of Node: it answers its first connections, and writes how often it was started. */
const SERVER = `require('net').createServer((s) => s.end('hello')).listen(Number(process.argv[1]), '127.0.0.1');
require('fs').appendFileSync(process.argv[2] + '/starts', 'x')`

function engine(more: Partial<Engine> = {}): Engine {
  return {
    name: 'toy',
    engine: 'Toy',
    category: 'real engine',
    isInstalled: () => true,
    install: async () => undefined,
    plan: async ({ folder, log }: Place): Promise<Plan> => {
      const port = await freePort()
      const argv = [process.execPath, '-e', SERVER, String(port), folder]
      return { processes: [{ name: 'toy', argv, port, log: log('toy') }], service: { url: `tcp://127.0.0.1:${port}` } }
    },
    answer: async ({ url }) => {
      const answer = await text(connect(Number(new URL(url).port), '127.0.0.1'))
      if (answer !== 'hello') throw new Error('no hello')
      return '1.0'
    },
    ...more,
  }
}

async function place(): Promise<Place> {
  const home = makeHome(await scratch())
  const folder = join(home, 'data', 'toy')
  onTestFinished(() => stopIn(home, folder))
  return { home, folder, log: (name) => join(home, 'logs', `${name}.log`), isPrivate: false, others: {} }
}

async function sleeper(script = 'setInterval(() => {}, 1e6)'): Promise<ProcessId> {
  const spec: ProcessSpec = {
    name: 'sleeper',
    argv: [process.execPath, '-e', script],
    port: 0,
    log: join(await scratch(), 'log'),
  }
  const { id } = await start(spec)
  onTestFinished(() => killTree(id))
  return id
}

beforeEach((context) => context.skip(process.platform !== 'linux', 'the servers run on Linux'))

describe('the notes of what runs', () => {
  it('are empty where nothing was started, and whole and private afterwards', async () => {
    const home = makeHome(await scratch())
    expect(readServices(home)).toEqual({})
    writeServices(home, { redis: SERVICE })
    expect(readServices(home)).toEqual({ redis: SERVICE })
    expect(statSync(join(home, 'services.json')).mode & 0o777).toBe(0o600)
    expect((await readdir(home)).toSorted()).toEqual(['data', 'logs', 'services.json'])
  })

  it('say what to do where they are broken', async () => {
    const home = await scratch()
    await writeFile(join(home, 'services.json'), '{')
    expect(() => readServices(home)).toThrow(/remove it and run npm run services again/)
  })

  it('name only services whose processes run as running', async () => {
    const home = makeHome(await scratch())
    const id = await sleeper()
    const reused = { ...id, started: `${id.started}0` }
    writeServices(home, { a: { ...SERVICE, name: 'a', processes: [id] }, b: { ...SERVICE, name: 'b', processes: [id, reused] } })
    expect(running(home)).toEqual(['a'])
  })

  it('are where HOLDFAST_SERVICES_HOME says', async () => {
    const script = `import { servicesHome } from './scripts/services/home.ts'; console.log(servicesHome())`
    const ask = async (env: NodeJS.ProcessEnv): Promise<string> =>
      (await exec(process.execPath, ['--input-type=module', '-e', script], { cwd: ROOT, env })).stdout.trim()
    expect(await ask({ HOLDFAST_SERVICES_HOME: '/some/where' })).toBe('/some/where')
    expect(await ask({ HOLDFAST_SERVICES_HOME: '', HOME: '/h' })).toBe('/h/.cache/holdfast-services')
  })
})

describe('names', () => {
  it('mean the required services where there are none, and bring those that a service uses', () => {
    const names = (asked: readonly string[]): string[] => chosen(asked).map(({ name }) => name)
    expect(names([])).toEqual(REQUIRED)
    expect(names(['all'])).toEqual(NAMES)
    expect(names(['pgbouncer'])).toEqual(['postgres', 'pgbouncer'])
    expect(() => names(['oracle'])).toThrow(/no service oracle; there are postgres, /)
  })
})

describe('the lock', () => {
  it('lets one at a time, also of several processes, and is free when its holder is killed', async () => {
    const home = makeHome(await scratch())
    const script = `import { locked } from './scripts/services/lock.ts'
      await locked(${JSON.stringify(home)}, async () => { console.log('held'); await new Promise((done) => setTimeout(done, 1e6)) })`
    const holder = spawn(process.execPath, ['--input-type=module', '-e', script], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    onTestFinished(() => void holder.kill('SIGKILL'))
    await once(holder.stdout, 'data')
    let waited = 0
    const events: string[] = []
    const second = locked(
      home,
      async () => events.push('second'),
      () => waited++,
    )
    await sleep(300)
    expect(events).toEqual([])
    holder.kill('SIGKILL')
    await second
    expect([events, waited]).toEqual([['second'], 1])
  })

  it('is free again after work that failed', async () => {
    const home = makeHome(await scratch())
    await expect(locked(home, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect(await locked(home, async () => 1)).toBe(1)
  })
})

describe('ports', () => {
  it('are free, each given once, and below those of outgoing connections', async () => {
    const ports = await freePorts(20)
    expect(new Set(ports).size).toBe(20)
    for (const port of ports) expect(port).toBeGreaterThan(20_000)
    for (const port of ports) expect(port).toBeLessThan(30_000)
  })
})

describe('processes', () => {
  it('are known by number and start, so that another one of that number is never ended', async () => {
    const id = await sleeper()
    const other = { ...id, started: 'another/1' }
    expect([isAlive(id), isAlive(other)]).toEqual([true, false])
    await stop(other)
    await killTree(other)
    expect(isAlive(id)).toBe(true)
    await stop(id)
    expect([isAlive(id), startOf(id.pid)]).toEqual([false, undefined])
    await stop(id)
  })

  it('that do not heed the signal are killed, and what they started with them', async () => {
    const id = await sleeper(`process.on('SIGTERM', () => {}); require('fs').writeFileSync('/dev/null', '');
      const { pid } = require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)']);
      console.log(pid); setInterval(() => {}, 1e6)`)
    const children = async (): Promise<string> => readFileSync(`/proc/${id.pid}/task/${id.pid}/children`, 'utf8').trim()
    await expect.poll(children).not.toBe('')
    const pid = Number(await children())
    const child = { pid, started: startOf(pid)! }
    await stop(id, 'SIGTERM', 300)
    expect([isAlive(id), isAlive(child)]).toEqual([false, false])
  })

  it('get none of the caller’s settings', async () => {
    const log = join(await scratch(), 'log')
    process.env['PGHOST'] = 'elsewhere'
    onTestFinished(() => void delete process.env['PGHOST'])
    const { ended } = await start({ name: 'env', argv: ['env'], port: 0, log, env: { OWN: '1' } })
    await expect.poll(ended).toBe('ended with 0')
    expect(readFileSync(log, 'utf8')).toContain('OWN=1')
    expect(readFileSync(log, 'utf8')).not.toContain('PGHOST')
  })
})

describe('an instance', () => {
  it('is noted before it answers, and answers when it is ready', async () => {
    const where = await place()
    const service = await launch(await prepare(engine(), where))
    expect(service).toMatchObject({ name: 'toy', engine: 'Toy', version: '1.0', category: 'real engine' })
    expect(service.processes).toEqual(processesIn(where.folder))
    await stopIn(where.home, where.folder)
    expect(service.processes.some(isAlive)).toBe(false)
  })

  it('starts empty, or with its data, port and password where they are kept', async () => {
    const where = await place()
    const first = await launch(await prepare(engine(), where))
    await stopIn(where.home, where.folder)
    const kept = await launch(await prepare(engine(), where, true))
    expect([kept.url, readFileSync(join(where.folder, 'starts'), 'utf8')]).toEqual([first.url, 'xx'])
    await stopIn(where.home, where.folder)
    await launch(await prepare(engine(), where))
    expect(readFileSync(join(where.folder, 'starts'), 'utf8')).toBe('x')
  })

  it('that never became whole is made anew, whatever is to be kept', async () => {
    const where = await place()
    let settled = 0
    const broken = engine({ settle: () => Promise.reject(new Error('not yet')), answer: () => Promise.reject(new Error('no')) })
    const prepared = await prepare(broken, where)
    const gone = { ...prepared, plan: { ...prepared.plan, processes: [{ ...prepared.plan.processes[0]!, argv: ['false'] }] } }
    await expect(launch(gone)).rejects.toThrow(/toy: toy ended with 1/)
    const whole = engine({ settle: async () => void settled++ })
    await launch(await prepare(whole, where, true))
    expect(settled).toBe(1)
  })

  it('that ends instead of answering says so with the end of its log, and leaves nothing running', async () => {
    const where = await place()
    const plan = async ({ log }: Place): Promise<Plan> => {
      const argv = ['sh', '-c', 'echo no room left; exit 3']
      const other = [process.execPath, '-e', 'setInterval(() => {}, 1e6)']
      const specs = [
        { name: 'b', argv: other, port: 0, log: log('b') },
        { name: 'a', argv, port: 0, log: log('a') },
      ]
      return { processes: specs, service: { url: 'tcp://nowhere' } }
    }
    const broken = engine({ plan, answer: () => Promise.reject(new Error('refused')) })
    await expect(launch(await prepare(broken, where))).rejects.toThrow(/toy: a ended with 3[^]*no room left/)
    expect(processesIn(where.folder).some(isAlive)).toBe(false)
  })
})

describe('results', () => {
  const target: Target = { kind: 'state', backend: 'redis', engine: 'Redis', version: '8.0', category: 'real engine' }
  const runOf = (id: string, state: CaseRun['state'], on = target): CaseRun => ({ target: on, id, state })
  const known: SuiteResult = { ...target, suite: 'state', version: '7.2', date: '2026-01-01', passed: 9, notApplicable: 0 }

  it('count a case once however many views it has', () => {
    const runs = [
      runOf('state/a', 'passed'),
      runOf('state/a', 'passed'),
      runOf('state/b', 'not applicable'),
      runOf('plugin-storage/a', 'passed'),
    ]
    const found = resultsOf(runs, '2026-11-20').map(({ suite, passed, notApplicable }) => [suite, passed, notApplicable])
    expect(found).toEqual([
      ['state', 1, 1],
      ['plugin-storage', 1, 0],
    ])
  })

  it('say nothing of a suite of which a case failed or did not run', () => {
    for (const state of ['failed', 'not run'] as const) {
      expect(resultsOf([runOf('state/a', 'passed'), runOf('state/b', state)], '2026-11-20')).toEqual([])
    }
  })

  it('replace what was said of the same backend on the same engine, and leave the rest', () => {
    const other = { ...known, engine: 'Redis Cluster' }
    const [fresh] = resultsOf([runOf('state/a', 'passed')], '2026-11-20')
    expect(merged([other, known], [fresh!])).toEqual([fresh, other])
  })
})

describe('the results that are kept', () => {
  it('are of backends that the catalogues have', () => {
    for (const { kind, backend, suite, category, date } of readResults()) {
      const line: CatalogueLine | undefined = CATALOGUES[kind][backend]
      expect(line, `${kind} ${backend}`).toBeDefined()
      expect(line?.planned, `${kind} ${backend}`).toBeUndefined()
      expect([kind, 'plugin-storage']).toContain(suite)
      expect(CATEGORIES).toContain(category)
      expect(date).toMatch(/^\d{4}-\d\d-\d\d$/)
    }
  })
})

describe('what is not allowed', () => {
  it('is said before anything is downloaded, with what to do', () => {
    expect(() => checkPrivileges({ platform: 'linux', uid: 1000 })).toThrow(/run this as root/)
    expect(() => checkPrivileges({ platform: 'darwin', uid: 0 })).toThrow(/only root on Linux/)
    checkPrivileges({ platform: 'linux', uid: 0 })
  })

  it('is a service that there is not: the command fails and names those that there are', async () => {
    const env = { HOLDFAST_SERVICES_HOME: await scratch() }
    await expect(exec(process.execPath, ['scripts/services.ts', 'oracle'], { cwd: ROOT, env })).rejects.toThrow(
      /ended with 1[^]*no service oracle/,
    )
  })
})

describe('tests of a service that does not run', () => {
  const vitest = async (env: NodeJS.ProcessEnv): Promise<string> => {
    const args = ['node_modules/vitest/vitest.mjs', 'run', '--config', 'test/fixtures/needs-service.config.ts']
    const more = { HOLDFAST_SERVICES_HOME: await scratch(), HOLDFAST_REQUIRE: '', NO_COLOR: '1', ...env }
    return exec(process.execPath, args, { cwd: ROOT, env: more }).then(({ stdout }) => stdout, String)
  }

  it('are reported as not run, by name and with the remedy, and open nothing', async () => {
    const output = await vitest({})
    expect(output).toContain(
      'redis is not running: npm run services redis (2):\n    on redis > a test\n    on redis > inner > another',
    )
    expect(output).toContain('\n1 passed, 0 failed, 2 skipped')
    expect(output).not.toContain('opened')
  })

  it('fail where the service is required', async () => {
    for (const HOLDFAST_REQUIRE of ['all', 'embedded,redis']) {
      const output = await vitest({ HOLDFAST_REQUIRE })
      expect(output).toContain('Error: redis is not running: npm run services redis')
      expect(output).toContain('\n1 passed, 2 failed, 0 skipped')
    }
    expect(await vitest({ HOLDFAST_REQUIRE: 'postgres' })).toContain('\n1 passed, 0 failed, 2 skipped')
  })

  it('fail where what is required is no service', async () => {
    expect(await vitest({ HOLDFAST_REQUIRE: 'oracle' })).toMatch(
      /HOLDFAST_REQUIRE names oracle; there are all, embedded, postgres/,
    )
  })
})

describe('an installed engine', () => {
  const isInstalled = chosen(['redis'])[0]!.isInstalled(servicesHome())

  it('starts, is found running, is started anew when it was killed, and stops', async (context) => {
    if (!isInstalled) context.skip('redis is not installed: npm run services redis')
    const home = makeHome(await scratch())
    await exec('ln', ['-s', join(servicesHome(), 'trixie'), join(home, 'trixie')])
    onTestFinished(() => down(home, [], () => undefined).then(() => undefined))
    const lines: string[] = []
    const bring = async (): Promise<Service> => (await up({ home, names: ['redis'], progress: (line) => lines.push(line) }))[0]!
    const [first, same] = await Promise.all([bring(), bring()])
    expect(first).toEqual(same)
    expect(lines.filter((line) => line === 'redis starts')).toHaveLength(1)
    await killTree(first.processes[0]!)
    const second = await bring()
    expect(second.processes).not.toEqual(first.processes)
    expect(await down(home, [], () => undefined)).toEqual(['redis'])
    expect([second.processes.some(isAlive), readServices(home)]).toEqual([false, {}])
  })

  it('as a private instance keeps port and data over stop and kill, and leaves nothing', async (context) => {
    const folders = async (): Promise<string[]> =>
      (await readdir(join(servicesHome(), 'data'))).filter((name) => name.startsWith(`private-${process.pid}-`))
    const instance = await privateService('redis', context)
    expect(await folders()).toHaveLength(1)
    const client = await createClient({ url: instance.url, socket: { reconnectStrategy: 20 } })
      .on('error', () => undefined)
      .connect()
    onTestFinished(() => client.destroy())
    await client.set('k', 'v')
    await instance.stop()
    await instance.start()
    expect(await client.get('k')).toBe('v')
    await instance.kill()
    await expect(createClient({ url: instance.url, socket: { reconnectStrategy: false } }).connect()).rejects.toThrow(
      /ECONNREFUSED/,
    )
    await instance.start()
    expect(await client.get('k')).toBe('v')
    await expect(instance.kill('replica')).rejects.toThrow(/redis has no part replica; it has redis/)
    await instance.end()
    expect(await folders()).toEqual([])
  })
})
