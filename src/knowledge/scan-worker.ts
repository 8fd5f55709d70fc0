/** Runs in a worker thread: searches memories that it shares with the thread of the stores, as `scan-pool.ts` asks. */
import { parentPort } from 'node:worker_threads'
import { PartSearch } from './scan-part.ts'
import type { ScanAnswer, ScanRequest } from './scan-protocol.ts'

const port = parentPort!
const searches = new Map<number, PartSearch>()

port.on('message', (request: ScanRequest) => {
  if (request.ask === 'attach') searches.set(request.number, new PartSearch(request.memory, request.layout, request.slot))
  else if (request.ask === 'detach') searches.delete(request.number)
  else send(answerTo(request))
})
send('ready')

function answerTo({ id, number, part }: Extract<ScanRequest, { ask: 'search' }>): ScanAnswer {
  try {
    return { id, found: searches.get(number)!.run(part) }
  } catch (error) {
    return { id, failure: String(error) }
  }
}

function send(answer: ScanAnswer): void {
  port.postMessage(answer)
}
