/** A plugin with two tools: one remembers notes under a topic, the other gives them back. */
import { blob, definePlugin, start } from 'holdfast/plugin'

interface Note {
  readonly text: string
  readonly at: string
}

export const notes = definePlugin({
  manifest: {
    author: 'acme',
    name: 'notes',
    version: '1.0.0',
    description: 'Remembers notes by topic',
    storage: { sizeBytes: 1024 * 1024 },
  },
  tools: {
    remember: {
      description: 'Remembers a note under a topic',
      parameters: [
        { name: 'topic', type: 'string', required: true, description: 'What the note is about' },
        { name: 'text', type: 'string', required: true, description: 'The note itself' },
      ],
      run: async ({ storage }, parameters) => {
        const topic = textIn(parameters, 'topic')
        const before = (await storage.getJson<Note[]>(`notes/${topic}`)) ?? []
        const all = [...before, { text: textIn(parameters, 'text'), at: new Date().toISOString() }]
        await storage.setJson(`notes/${topic}`, all)
        return `${all.length} about ${topic}`
      },
    },
    recall: {
      description: 'Gives the notes about a topic, one message each',
      parameters: [
        { name: 'topic', type: 'string', required: true },
        { name: 'file', type: 'boolean', description: 'As a text file' },
      ],
      async *run({ storage }, parameters) {
        const all = (await storage.getJson<Note[]>(`notes/${textIn(parameters, 'topic')}`)) ?? []
        if (parameters['file'] === true) yield blob(Buffer.from(all.map(({ text }) => `${text}\n`).join('')), 'text/plain')
        else yield* all
      },
    },
  },
})

/** Parameters are the caller's, and unchecked. */
function textIn(parameters: Readonly<Record<string, unknown>>, name: string): string {
  const value = parameters[name]
  if (typeof value !== 'string' || value === '') throw new TypeError(`${name} must be a text`)
  return value
}

if (import.meta.main) await start(notes)
