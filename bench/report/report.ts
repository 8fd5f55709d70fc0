/** `bench/RESULTS.md` and `bench/charts`: made of `bench/results` alone, the same each time. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { groupCharts, readmeChart, type Files } from './charts.ts'
import { sectionText } from './markdown.ts'
import { INTRODUCTION } from './prose.ts'
import { readRecorded } from './recorded.ts'
import { SECTIONS } from './sections.ts'

const BENCH = join(import.meta.dirname, '..')

/** The report's files by their path in `bench`, of the results in that folder, by default `bench/results`. */
export function makeReport(results?: string): Files {
  const files = readmeChart(results)
  const parts = [INTRODUCTION]
  if (files.size > 0) parts.push('![Holdfast and others, in one chart](charts/readme.svg)')
  for (const section of SECTIONS) {
    const recorded = readRecorded(section.name, results)
    if (recorded === undefined) continue
    parts.push(sectionText(section, recorded))
    for (const [path, content] of groupCharts(section.name, recorded)) files.set(path, content)
  }
  return files.set('RESULTS.md', `${parts.join('\n\n')}\n`)
}

/** Charts that the results do not make are removed. */
export function writeReport(): void {
  const files = makeReport()
  rmSync(join(BENCH, 'charts'), { recursive: true, force: true })
  mkdirSync(join(BENCH, 'charts'), { recursive: true })
  for (const [path, content] of files) writeFileSync(join(BENCH, path), content)
}

/** The charts that are there. */
export function chartsThere(): string[] {
  return readdirSync(join(BENCH, 'charts')).map((name) => `charts/${name}`)
}
