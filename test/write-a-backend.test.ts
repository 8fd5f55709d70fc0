/** The guide “Write a backend”, followed to the letter: its blocks in their order, in an empty folder, with the packed package. */
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, inject, it } from 'vitest'
import { exec, ROOT, scratch } from './support.ts'

const tarball = inject('tarball')
const FLAGS = '--no-audit --no-fund --prefer-offline --loglevel=error'
/** What the guide installs from the registry besides: the same versions are here. */
const TOOLS = ['typescript', '@types'] as const

interface Block {
  readonly language: string
  readonly title: string | undefined
  readonly text: string
}

function blocksOf(markdown: string): Block[] {
  const found = markdown.matchAll(/^```(\w+)(?: title=(\S+))?\n(.*?)^```$/gms)
  return Array.from(found, ([, language, title, text]) => ({ language: language!, title, text: text! }))
}

/** The reader’s command, but that what is to be published comes from here. */
function command(text: string): string {
  return text
    .replace('npm install --save-dev holdfast typescript @types/node', `npm install --save-dev ${tarball} ${FLAGS}`)
    .replace('npm install holdfast ', `npm install ${FLAGS} ${tarball} `)
}

async function linkTools(folder: string): Promise<void> {
  const modules = join(folder, 'node_modules')
  for (const name of TOOLS) await symlink(join(ROOT, 'node_modules', name), join(modules, name))
  await symlink(join(ROOT, 'node_modules', '.bin', 'tsc'), join(modules, '.bin', 'tsc'))
}

/** The expected output, in which `…` stands for anything. */
function pattern(text: string): RegExp {
  return new RegExp(`^${text.trim().split('…').map(RegExp.escape).join('[^]*?')}$`)
}

it('a backend by the guide alone passes the suite and is found by its name', { timeout: 240_000 }, async () => {
  const folder = join(await scratch(), 'holdfast-drawer')
  await mkdir(folder)
  const blocks = blocksOf(await readFile(join(ROOT, 'docs', 'write-a-backend.md'), 'utf8'))
  const PATH = `${dirname(process.execPath)}:${process.env['PATH']}`
  let output = ''
  let ran = 0
  for (const { language, title, text } of blocks) {
    if (title !== undefined) {
      await writeFile(join(folder, title), text).catch(async () => {
        await mkdir(dirname(join(folder, title)), { recursive: true })
        await writeFile(join(folder, title), text)
      })
    } else if (language === 'sh') {
      output = (await exec('bash', ['-ec', command(text)], { cwd: folder, env: { PATH } })).stdout
      if (text.includes('--save-dev')) await linkTools(folder)
      ran++
    } else {
      expect(language).toBe('text')
      expect(output.trim()).toMatch(pattern(text))
    }
  }
  expect(ran).toBe(4)
  // What a reader’s editor and compiler say of the application.
  const options = {
    strict: true,
    noEmit: true,
    target: 'es2024',
    lib: ['es2024', 'esnext.disposable'],
    module: 'nodenext',
    types: ['node'],
  }
  const app = join(folder, '..', 'app')
  await symlink(join(ROOT, 'node_modules', '@types'), join(app, 'node_modules', '@types'))
  await writeFile(join(app, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: ['main.ts'] }))
  await exec(join(ROOT, 'node_modules', '.bin', 'tsc'), [], { cwd: app })
})
