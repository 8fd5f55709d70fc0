/** Runs sections, shows what they yield, keeps it, and makes the report anew. */
import { groupTables } from '../peers/tables.ts'
import { observe, writeRecorded, type Recorded } from './recorded.ts'
import { writeReport } from './report.ts'
import type { Section } from './section.ts'

/** Each in turn; one that fails is told, its last results stay, and the others go on. Whether all went well. */
export async function runSections(sections: readonly Section[]): Promise<boolean> {
  let isWell = true
  for (const section of sections) {
    try {
      await runSection(section, [])
    } catch (error) {
      isWell = false
      console.error(`${section.flag}: ${error instanceof Error ? error.stack : String(error)}\n`)
    }
  }
  return isWell
}

/** A part of a section is shown, but kept only where the rest of its results stays with it. */
export async function runSection(section: Section, names: readonly string[]): Promise<void> {
  const recorded = await observe(() => section.run(names))
  console.log(`${shown(recorded)}\n`)
  if (names.length > 0 && section.keepsParts !== true) return
  writeRecorded(section.name, recorded)
  writeReport()
}

function shown({ lines, comparisons = [] }: Recorded): string {
  return lines?.join('\n') ?? groupTables(comparisons)
}
