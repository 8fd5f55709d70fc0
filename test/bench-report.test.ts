import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { Comparison } from '../bench/peers/result.ts'
import { drawChart } from '../bench/report/chart.ts'
import { multiple, reference, told } from '../bench/report/numbers.ts'
import { writeRecorded, type Recorded } from '../bench/report/recorded.ts'
import { chartsThere, makeReport } from '../bench/report/report.ts'
import { scaleOf } from '../bench/report/scale.ts'
import { wellFormed } from './xml.ts'

const BENCH = join(import.meta.dirname, '..', 'bench')

const QUICK: Comparison = {
  id: 'clustered-search',
  group: '100,000 × 384, clustered',
  what: 'top 10',
  unit: 'ms',
  better: 'less',
  figures: [
    { contender: 'slow & <plain> "JS"', version: '1.2.3', durability: 'none', median: 80, spread: 4 },
    { contender: 'holdfast sqlite', durability: 'FULL', median: 2 },
    { contender: 'absent', note: 'not run: it cannot be loaded' },
  ],
}

describe('what is committed', () => {
  const made = makeReport()

  it('is what the report makes of the committed results', () => {
    for (const [path, content] of made) expect(readFileSync(join(BENCH, path), 'utf8'), path).toBe(content)
  })

  it('has no chart that the results do not make', () => {
    const charts = [...made.keys()].filter((path) => path.endsWith('.svg'))
    expect(chartsThere().toSorted()).toEqual(charts.toSorted())
  })

  it('refers to each chart but once, and to none that is missing', () => {
    const referred = [...made.get('RESULTS.md')!.matchAll(/\]\((charts\/[^)]+)\)/g)].map(([, path]) => path!)
    expect(referred.toSorted()).toEqual([...made.keys()].filter((path) => path.endsWith('.svg')).toSorted())
  })

  it('is well-formed XML where it is SVG', () => {
    for (const [path, content] of made) if (path.endsWith('.svg')) expect(wellFormed(content), path).toBe('well-formed')
  })
})

describe('a chart', () => {
  const svg = drawChart({ title: 'A & B', subtitle: 'x < y', comparisons: [QUICK] })

  it('is well-formed, whatever the names are', () => {
    expect(wellFormed(svg)).toBe('well-formed')
    expect(svg).toContain('slow &amp; &lt;plain&gt; &quot;JS&quot;')
  })

  it('says all in words too, and who did not run', () => {
    expect(svg).toMatch(/<svg [^>]*role="img" aria-labelledby="title desc"/)
    expect(svg).toContain('<desc id="desc">x &lt; y. top 10 (less is better): holdfast sqlite 2 ms, slow')
    expect(svg).toContain('absent not run: it cannot be loaded.</desc>')
  })

  it('highlights Holdfast alone, and tells the others as its multiple', () => {
    expect(svg.match(/class="bar best"/g)).toHaveLength(1)
    expect(svg).toMatch(/80 ms<tspan [^>]*>40×<\/tspan>/)
    expect(multiple(QUICK.figures[1]!, QUICK)).toBeUndefined()
    expect(reference(QUICK)?.contender).toBe('holdfast sqlite')
  })

  it('is logarithmic above a ratio of 20, and says so', () => {
    expect(svg).toContain('less is better · logarithmic')
    expect(scaleOf([2, 40], 100).ticks).toEqual([])
    expect(scaleOf([2, 40], 100).at(2)).toBeCloseTo(5)
    const wide = scaleOf([2, 2_000], 300)
    expect(wide.ticks.map(({ value }) => value)).toEqual([1, 10, 100, 1_000])
    expect(wide.at(2_000)).toBeCloseTo(300)
    expect(wide.at(20) - wide.at(2)).toBeCloseTo(wide.at(200) - wide.at(20))
  })

  it('draws a figure of 0', () => {
    const none = { ...QUICK, unit: 'fsyncs', figures: [{ contender: 'a', median: 0 }, ...QUICK.figures] } as const
    expect(wellFormed(drawChart({ title: 't', subtitle: 's', comparisons: [none] }))).toBe('well-formed')
  })
})

describe('figures', () => {
  it('are told in three digits with their unit', () => {
    expect(told(62_221.9, 'ops/s')).toBe('62,200/s')
    expect(told(2.551, 'ms')).toBe('2.55 ms')
    expect(told(1, 'recall')).toBe('1.0000')
  })
})

describe('the report', () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-report-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  const conditions = {
    machine: 'Some CPU × 2',
    node: 'v24.16.0',
    sqlite: '3.53.4',
    began: { at: '2026-11-21T00:00:00Z', load: 0.4 },
    ended: { at: '2026-11-21T00:05:00Z', load: 1.9 },
  }

  it('has a section for each result, with its conditions, and none for what never ran', () => {
    writeRecorded('cold-start', { ...conditions, lines: ['cold start   ms', 'bare Node  25.2'] }, folder)
    writeRecorded('peers-vectors', { ...conditions, comparisons: [QUICK] } satisfies Recorded, folder)
    const files = makeReport(folder)
    const results = files.get('RESULTS.md')!
    expect(results).toContain(
      '21 November 2026, 5 min; Some CPU × 2; Node v24.16.0, SQLite 3.53.4; load 0.4 at the beginning, 1.9 at the end.',
    )
    expect(results).toContain('```\ncold start   ms\nbare Node  25.2\n```')
    expect(results).toContain('| holdfast sqlite | 2 |')
    expect(results).toContain('| slow & <plain> "JS" | 80 ±4 (40×) |')
    expect(results).toContain('| absent | not run |')
    expect(results).not.toContain('## On servers')
    expect([...files.keys()].toSorted()).toEqual([
      'RESULTS.md',
      'charts/peers-vectors-100000-x-384-clustered.svg',
      'charts/readme.svg',
    ])
  })
})

describe('the check of XML', () => {
  it.each(['<a><b></a></b>', '<a>', '<a/><b/>', 'x<a/>', '<a b="1" b="2"/>', '<a>&</a>', '<a b="<"/>', '<a b=1/>'])(
    'refuses %s',
    (xml) => {
      expect(wellFormed(xml)).not.toBe('well-formed')
    },
  )
})
