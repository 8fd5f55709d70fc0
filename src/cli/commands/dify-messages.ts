/** What a tool says, on a terminal or for a program. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { ToolMessage } from '../../dify/index.ts'
import type { JsonObject, JsonValue } from '../../index.ts'
import { Failure } from '../failure.ts'
import { bytes, harmlessJson, printable, printableLines, writeTo } from '../terminal.ts'
import { toFile } from '../whole-file.ts'

export interface MessagesOptions {
  /** The folder for files. */
  readonly out?: string
  readonly json?: boolean
}

const MAX_FILE_BYTES = 2 ** 30

export class Messages {
  readonly #options: MessagesOptions
  readonly #unfinished = new Map<string, { readonly pieces: Buffer[]; bytes: number }>()
  #files = 0

  constructor(options: MessagesOptions) {
    this.#options = options
  }

  async show(said: ToolMessage): Promise<void> {
    if (said.type === 'blob' || said.type === 'blob_chunk') await this.#gather(said)
    else if (this.#options.json === true) await print({ ...said })
    else await this.#say(said)
  }

  async #say({ type, message }: ToolMessage): Promise<void> {
    if (typeof message['text'] === 'string') return line(printableLines(message['text']).join('\n'))
    if (type === 'json') return print(message['json_object'] ?? null)
    if (type === 'variable') return line(`${textIn(message, 'variable_name')} = ${inJson(message['variable_value'] ?? null)}`)
    if (type === 'log') process.stderr.write(`${printable(`${textIn(message, 'label')}: ${textIn(message, 'status')}`)}\n`)
    else await print({ type, message })
  }

  async #gather({ type, message, meta }: ToolMessage): Promise<void> {
    const id = textIn(message, 'id')
    const file = this.#unfinished.get(id) ?? { pieces: [], bytes: 0 }
    const piece = Buffer.from(textIn(message, 'blob'), 'base64')
    file.pieces.push(piece)
    file.bytes += piece.length
    this.#unfinished.set(id, file)
    if (file.bytes > MAX_FILE_BYTES)
      throw new Failure('VALUE_TOO_LARGE', 'the tool gives a file of more than 1 GiB', 'Ask the plugin for less.')
    if (type === 'blob_chunk' && message['end'] !== true) return
    this.#unfinished.delete(id)
    await this.#file(Buffer.concat(file.pieces), textIn(meta ?? {}, 'mime_type'))
  }

  async #file(content: Buffer, mimeType: string): Promise<void> {
    const { json, out: folder } = this.#options
    const file = folder === undefined ? undefined : join(folder, `${++this.#files}.${extensionOf(mimeType)}`)
    if (file !== undefined) {
      await mkdir(folder!, { recursive: true })
      await toFile(file, (write) => write(content))
    }
    const what = { bytes: content.length, mimeType, file: file ?? null }
    if (json === true) return print({ type: 'blob', message: what })
    const where = file === undefined ? 'not kept: name a folder with --out' : file
    await line(`${bytes(content.length)} of ${mimeType === '' ? 'unknown type' : printable(mimeType)}, ${where}`)
  }
}

const EXTENSIONS: Readonly<Record<string, string>> = { plain: 'txt', markdown: 'md', jpeg: 'jpg', javascript: 'js' }

/** The plugin has no say in what a file is called but for its end. */
function extensionOf(mimeType: string): string {
  const subtype = /^[\w.-]+\/(?:[\w.-]+\+)?([a-z0-9]{1,10})(?:;|$)/.exec(mimeType.toLowerCase())?.[1] ?? 'bin'
  return Object.hasOwn(EXTENSIONS, subtype) ? EXTENSIONS[subtype]! : subtype
}

function textIn(object: JsonObject, name: string): string {
  const value = object[name]
  return typeof value === 'string' ? value : ''
}

function inJson(value: JsonValue): string {
  return harmlessJson(JSON.stringify(value))
}

async function print(value: JsonValue): Promise<void> {
  await line(inJson(value))
}

async function line(text: string): Promise<void> {
  await writeTo(process.stdout, `${text}\n`)
}
