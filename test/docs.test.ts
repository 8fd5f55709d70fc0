/** Runs every snippet of the README and the docs: each page in a folder of its own, its blocks in order, as a reader would. */
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { privateService, withService, type Service } from './services.ts'
import { exec, ROOT, scratch } from './support.ts'

interface Block {
  readonly language: string
  /** ` ```ts title=src/x.ts ` is a file that later blocks use; without a title it is run. */
  readonly title: string | undefined
  /** ` ```ts needs=redis ` runs where that service does, its URLs on `localhost` replaced by those of an instance of its own. */
  readonly needs: string | undefined
  readonly text: string
  readonly line: number
}

const pages = [
  'README.md',
  'CONTRIBUTING.md',
  ...(await readdir(join(ROOT, 'docs'))).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`),
]

/** What a reader has installed beside Holdfast, the client libraries included. */
const PACKAGES = '@types @opentelemetry @aws-sdk @google-cloud @langchain @pinecone-database pg redis iovalkey'.split(' ')

function blocksOf(markdown: string): Block[] {
  let needs: string | undefined
  return [...markdown.matchAll(/^```(\w+)(?: title=(\S+))?(?: needs=(\S+))?\n(.*?)^```$/gms)].map((match) => {
    const language = match[1]!
    // What a block prints is expected where the block runs.
    if (language !== 'text') needs = match[3]
    return { language, title: match[2], needs, text: match[4]!, line: markdown.slice(0, match.index).split('\n').length }
  })
}

/** A project that has the package installed; what ships is what runs. */
async function project(): Promise<string> {
  const folder = await scratch()
  await writeFile(
    join(folder, 'package.json'),
    JSON.stringify({ name: 'reader', private: true, type: 'module', dependencies: { holdfast: '*' } }),
  )
  await mkdir(join(folder, 'node_modules', '.bin'), { recursive: true })
  await symlink(ROOT, join(folder, 'node_modules', 'holdfast'))
  for (const name of PACKAGES) await symlink(join(ROOT, 'node_modules', name), join(folder, 'node_modules', name))
  await writeFile(
    join(folder, 'node_modules', '.bin', 'holdfast'),
    `#!/bin/sh\nexec "${process.execPath}" "${join(ROOT, 'dist', 'cli', 'main.js')}" "$@"\n`,
    { mode: 0o755 },
  )
  return folder
}

async function runBlock(block: Block, folder: string, more: NodeJS.ProcessEnv = {}): Promise<string> {
  const PATH = `${join(folder, 'node_modules', '.bin')}:${dirname(process.execPath)}:${process.env['PATH']}`
  const env = { PATH, ...more }
  if (block.language === 'sh') {
    // npx would look in the registry for what is not there; the readers' command is the installed one.
    return (await exec('bash', ['-ec', block.text.replaceAll('npx holdfast', 'holdfast')], { cwd: folder, env })).stdout
  }
  return (await exec(process.execPath, [await writeSnippet(block, folder)], { cwd: folder, env })).stdout
}

async function writeSnippet(block: Block, folder: string): Promise<string> {
  const file = join(folder, `snippet-${block.line}.ts`)
  await writeFile(file, block.text)
  return file
}

/** Two commands set everything up in a clone of the repository; the fresh-clone check runs them, not this test. */
const isSetup = (block: Block): boolean => /npm ci|npm install holdfast|npm run |npm start/.test(block.text)

/** Runs the blocks that need just this, in their order; files are written for all of them. */
async function runBlocks(page: string, blocks: readonly Block[], folder: string, service?: Service): Promise<void> {
  let output = ''
  for (const block of blocks) {
    if (block.title !== undefined) {
      await mkdir(dirname(join(folder, block.title)), { recursive: true })
      await writeFile(join(folder, block.title), block.text)
    } else if (block.needs !== service?.name) {
      if (block.language === 'ts') await writeSnippet(block, folder)
    } else if (block.language === 'ts' || (block.language === 'sh' && !isSetup(block))) {
      const text = service === undefined ? block.text : withUrls(block.text, service)
      output = await runBlock({ ...block, text }, folder, service === undefined ? {} : variablesOf(service))
    } else if (block.language === 'text') {
      expect(output.trim(), `${page}:${block.line}`).toMatch(pattern(block.text))
    }
  }
}

/** The reader's server is at `localhost`; ours has another port, a password and a database. */
function withUrls(text: string, { url }: Service): string {
  const { protocol } = new URL(url)
  return text.replaceAll(new RegExp(`${protocol}//localhost(:\\d+)?(/\\w*)?`, 'g'), url)
}

/** What a reader of a cloud's documentation has in the environment. */
function variablesOf({ region, accessKeyId, secretAccessKey }: Service): NodeJS.ProcessEnv {
  if (typeof region !== 'string') return {}
  return { AWS_REGION: region, AWS_ACCESS_KEY_ID: String(accessKeyId), AWS_SECRET_ACCESS_KEY: String(secretAccessKey) }
}

/** Pages whose blocks another test runs, in their order: write-a-backend.test.ts does so with the packed package. */
const OWN_TEST = new Set(['docs/write-a-backend.md'])

const blocksOfPage = new Map(
  await Promise.all(
    pages.map(async (page) => [page, OWN_TEST.has(page) ? [] : blocksOf(await readFile(join(ROOT, page), 'utf8'))] as const),
  ),
)

describe.each(pages)('%s', (page) => {
  const blocks = blocksOfPage.get(page)!

  it('has snippets that compile and run', { timeout: 120_000 }, async () => {
    const folder = await project()
    await runBlocks(page, blocks, folder)
    if (blocks.some(({ language }) => language === 'ts')) await compile(folder)
  })

  for (const name of new Set(blocks.flatMap(({ needs }) => needs ?? []))) {
    withService(name, `on ${name}`, () => {
      it('has snippets that run', { timeout: 120_000 }, async () =>
        runBlocks(page, blocks, await project(), await privateService(name)),
      )
    })
  }

  it('links only to files that are there', async () => {
    const markdown = await readFile(join(ROOT, page), 'utf8')
    for (const [, target] of markdown.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
      const path = join(ROOT, dirname(page), target!)
      expect(await readdir(dirname(path)), `${page} links to ${target}`).toContain(basename(path))
    }
  })
})

async function compile(folder: string): Promise<void> {
  const compilerOptions = {
    strict: true,
    noEmit: true,
    target: 'es2024',
    lib: ['es2024', 'esnext.disposable'],
    module: 'nodenext',
    types: ['node'],
    skipLibCheck: true,
    allowImportingTsExtensions: true,
  }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['**/*.ts'] }))
  await exec(join(ROOT, 'node_modules', '.bin', 'tsc'), [], { cwd: folder })
}

/** The expected output, in which `…` stands for anything. */
function pattern(text: string): RegExp {
  return new RegExp(`^${text.trim().split('…').map(RegExp.escape).join('[^]*?')}$`)
}
