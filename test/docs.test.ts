/** Runs every snippet of the README and the docs: each page in a folder of its own, its blocks in order, as a reader would. */
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { exec, ROOT, scratch } from './support.ts'

interface Block {
  readonly language: string
  /** ` ```ts title=src/x.ts ` is a file that later blocks use; without a title it is run. */
  readonly title: string | undefined
  readonly text: string
  readonly line: number
}

const pages = [
  'README.md',
  'CONTRIBUTING.md',
  ...(await readdir(join(ROOT, 'docs'))).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`),
]

function blocksOf(markdown: string): Block[] {
  return [...markdown.matchAll(/^```(\w+)(?: title=(\S+))?\n(.*?)^```$/gms)].map((match) => ({
    language: match[1]!,
    title: match[2],
    text: match[3]!,
    line: markdown.slice(0, match.index).split('\n').length,
  }))
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
  for (const scope of ['@types', '@opentelemetry'])
    await symlink(join(ROOT, 'node_modules', scope), join(folder, 'node_modules', scope))
  await writeFile(
    join(folder, 'node_modules', '.bin', 'holdfast'),
    `#!/bin/sh\nexec "${process.execPath}" "${join(ROOT, 'dist', 'cli', 'main.js')}" "$@"\n`,
    { mode: 0o755 },
  )
  return folder
}

async function runBlock(block: Block, folder: string): Promise<string> {
  const PATH = `${join(folder, 'node_modules', '.bin')}:${dirname(process.execPath)}:${process.env['PATH']}`
  if (block.language === 'sh') {
    // npx would look in the registry for what is not there; the readers' command is the installed one.
    return (await exec('bash', ['-ec', block.text.replaceAll('npx holdfast', 'holdfast')], { cwd: folder, env: { PATH } })).stdout
  }
  const file = join(folder, `snippet-${block.line}.ts`)
  await writeFile(file, block.text)
  return (await exec(process.execPath, [file], { cwd: folder, env: { PATH } })).stdout
}

/** Two commands set everything up in a clone of the repository; the fresh-clone check runs them, not this test. */
const isSetup = (block: Block): boolean => /npm ci|npm install holdfast|npm run |npm start/.test(block.text)

describe.each(pages)('%s', (page) => {
  it('has snippets that compile and run', { timeout: 120_000 }, async () => {
    const folder = await project()
    const blocks = blocksOf(await readFile(join(ROOT, page), 'utf8'))
    let compiles = false
    let output = ''
    for (const block of blocks) {
      if (block.title !== undefined) {
        await mkdir(dirname(join(folder, block.title)), { recursive: true })
        await writeFile(join(folder, block.title), block.text)
      } else if (block.language === 'ts' || (block.language === 'sh' && !isSetup(block))) {
        output = await runBlock(block, folder)
      } else if (block.language === 'text') {
        expect(output.trim(), `${page}:${block.line}`).toMatch(pattern(block.text))
      }
      compiles ||= block.language === 'ts'
    }
    if (compiles) await compile(folder)
  })

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
