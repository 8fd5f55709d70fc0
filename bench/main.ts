/**
 * `npm run bench`: all figures of one run, as ratios to a baseline measured in the same run. What takes long or needs more than Node is
 * asked for: `npm run bench -- --vectors`, `--peers`, `--servers [names…]`, or `--all`. What a section yields is kept in `bench/results`, of
 * which `bench/RESULTS.md` and its charts are made; `--report` makes them without a run. `--budget` counts instead of timing.
 */
import { budget } from './budget.ts'
import { writeReport } from './report/report.ts'
import { runSection, runSections } from './report/run.ts'
import { SECTIONS } from './report/sections.ts'

const [flag, ...names] = process.argv.slice(2)
const asked = SECTIONS.find((section) => section.flag === flag)

if (asked !== undefined) await runSection(asked, names)
else if (flag === '--report') writeReport()
else if (flag === '--budget') process.exitCode = budget(names)
else if (flag === '--all') process.exitCode = (await runSections(SECTIONS)) ? 0 : 1
else if (flag === undefined) process.exitCode = (await runSections(SECTIONS.filter(({ large }) => !large))) ? 0 : 1
else {
  const flags = ['--all', '--report', '--budget', ...SECTIONS.map((section) => section.flag)]
  console.error(`npm run bench takes nothing, or one of ${flags.join(', ')}`)
  process.exitCode = 2
}
