import { conversationCases, runConformance, formatReport } from '../../src/conformance/index.ts'
import { brokenConversations } from './broken/conversation.ts'
import { memoryHarness, sqliteHarness } from './conversation-harness.ts'
const [which, only] = process.argv.slice(2)
const onResult = process.env.V ? (r: any) => console.log(r.id, r.status, Math.round(r.durationMs)) : undefined
if (which === 'memory' || which === 'sqlite') {
  for (const view of ['default', 'workspace'] as const) {
    const t = performance.now()
    const report = await runConformance({ cases: conversationCases, harness: which === 'memory' ? memoryHarness() : sqliteHarness(), view, only: only ? [only] : undefined, concurrency: 4, onResult })
    console.log(formatReport(report), performance.now() - t, report.results.toSorted((a,b)=>b.durationMs-a.durationMs).slice(0,6).map(r=>[r.id,Math.round(r.durationMs)]))
  }
} else {
  for (const broken of brokenConversations) {
    if (which && !broken.name.includes(which)) continue
    console.log('...', broken.name)
    const t = performance.now()
    const report = await runConformance({ cases: conversationCases, harness: memoryHarness(broken), concurrency: 8, timeoutMs: 3000, only: only ? [only] : undefined, onResult })
    const failed = report.results.filter((r) => r.status === 'failed').map((r) => r.id.slice(13))
    console.log(failed.includes(broken.caughtBy.slice(13)) ? 'caught' : `MISSED ${broken.caughtBy}`, Math.round(performance.now() - t), failed.length, failed.slice(0, 8).join(' '))
    if (process.env.F) console.log(formatReport(report))
  }
}
