/** What the report says of vectors, with the figures that were aimed at. */
import type { Comparison } from '../peers/result.ts'
import { markdownTable } from './markdown-table.ts'
import type { Recorded } from './recorded.ts'

const PROSE = `Every contender is a process of its own, so that memory and event loop are its alone; they are asked in turns, over the same documents with 10 values of a
field to filter by. All vectors are unit vectors, compared by cosine similarity.

- The first search of a turn is not counted: other processes had the processor's caches until then.
- An insert is a thousand documents, acknowledged; the rate is of all documents over the time of all inserts, checkpoints included.
- **plain JavaScript** is a loop over one \`Float32Array\`, without a file, text or other metadata. A search of it, of sqlite-vec and of LangChain holds up the event loop while it lasts.
- **LanceDB** does not call fsync. Its flat scan is shown as the inserts left it, which suits it best, and after \`optimize()\`, which its documentation tells to run now and then;
  its HNSW index is approximate, takes half a minute to build, and finds what it should only where the data has clusters: with \`ef\` 100 its recall is told in the tables.
- **sqlite-vec** is the build that npm has, which is made without AVX; it runs on \`node:sqlite\`, whose page cache is all the memory that it takes.
- **vectra** and **Mastra's LibSQLVector** do not bear 100,000 documents: vectra writes its whole JSON file at each insert, and Mastra takes 4 to 6 ms for each document,
  in an index that grows slower. They are compared at 2,000.`

/** What was aimed at, as a multiple of the time that Holdfast's sqlite backend takes. */
const TARGETS: readonly (readonly [contender: string, least: number])[] = [
  ['plain JavaScript', 8],
  ['sqlite-vec', 10],
  ['LanceDB flat', 15],
  ['LanceDB flat, optimized', 15],
]

const STUDIES = ['clustered', 'isotropic', 'wide']

export function peerVectorsProse({ comparisons = [] }: Recorded): string {
  const searches = STUDIES.flatMap((study) => comparisons.find(({ id }) => id === `${study}-search`) ?? [])
  const header = ['top 10, times as quick as', 'aimed at', ...searches.map(({ group }) => group)]
  const lines = TARGETS.map(([contender, least]) => [
    contender,
    `≥ ${least}`,
    ...searches.map((search) => ratio(search, contender)),
  ])
  return `${PROSE}\n\n${markdownTable(header, lines)}`
}

function ratio({ figures }: Comparison, contender: string): string {
  const of = (name: string): number | undefined => figures.find((figure) => figure.contender === name)?.median
  const [ours, other] = [of('holdfast sqlite'), of(contender)]
  return ours === undefined || other === undefined ? '–' : (other / ours).toFixed(1)
}
