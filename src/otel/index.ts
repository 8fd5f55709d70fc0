/**
 * `holdfast/otel`: every store call as an OpenTelemetry span and in a histogram, by the semantic conventions for database clients
 * (https://opentelemetry.io/docs/specs/semconv/db/). What is exported is the kind of store, the backend, the method, how long it took
 * and how it ended: no ids, keys or values, no URLs, no messages of errors.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import {
  context,
  metrics,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type MeterProvider,
  type Span,
  type TracerProvider,
} from '@opentelemetry/api'
import type { CallEvent, CallStart } from '../store/core.ts'
import { systemName } from './systems.ts'

export interface TelemetryOptions {
  /** Default: the global one. */
  readonly tracerProvider?: TracerProvider | undefined
  /** Default: the global one. */
  readonly meterProvider?: MeterProvider | undefined
}

const SCOPE = 'holdfast'
/** Upper bounds in seconds, as the conventions advise. */
const BOUNDARIES = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]

/**
 * Turns the calls of all stores of this process (of this thread, where there are workers) into spans and into the histogram
 * `db.client.operation.duration`, until the function that it returns is called. A second call doubles both.
 *
 * A span is a child of the span that is active where the store is called, and is itself the active one during the call. A call that
 * failed has the error's code as `error.type` and as its status, and what is known of its outcome as `holdfast.outcome`.
 */
export function enableTelemetry({ tracerProvider, meterProvider }: TelemetryOptions = {}): () => void {
  const tracer = (tracerProvider ?? trace).getTracer(SCOPE)
  const duration = (meterProvider ?? metrics).getMeter(SCOPE).createHistogram('db.client.operation.duration', {
    description: 'Duration of database client operations.',
    unit: 's',
    advice: { explicitBucketBoundaries: BOUNDARIES },
  })
  const open = new Map<unknown, Span>()
  let enabled = true

  const onStart = (message: unknown): void => {
    const call = message as CallStart
    const parent = context.active()
    const span = tracer.startSpan(summary(call), { kind: SpanKind.CLIENT, attributes: attributesOf(call) }, parent)
    open.set(call, span)
    const outer = call.around
    const active = trace.setSpan(parent, span)
    call.around = (run) => context.with(active, outer === undefined ? run : () => outer(run))
  }
  const onEnd = (message: unknown): void => {
    const call = message as CallEvent
    const span = open.get(call)
    // It began before we listened.
    if (span === undefined) return
    open.delete(call)
    const ended = endAttributes(call)
    if (call.result !== 'ok') span.setStatus({ code: SpanStatusCode.ERROR, message: call.result })
    span.setAttributes(ended).end()
    duration.record(call.durationMs / 1000, { ...attributesOf(call), ...ended }, trace.setSpan(context.active(), span))
    if (!enabled) stopWhenDone()
  }
  /** Calls under way are still told to their end. */
  const stopWhenDone = (): void => {
    if (open.size === 0) unsubscribe('holdfast:call', onEnd)
  }
  subscribe('holdfast:call:start', onStart)
  subscribe('holdfast:call', onEnd)
  return () => {
    enabled = false
    unsubscribe('holdfast:call:start', onStart)
    stopWhenDone()
  }
}

function attributesOf(call: CallStart): Attributes {
  return {
    'db.system.name': systemName(call.backend),
    'db.operation.name': call.method,
    'db.query.summary': summary(call),
    'holdfast.kind': call.kind,
    'holdfast.backend': call.backend,
  }
}

/** Also the span's name: the same method, `get` say, is there for more than one kind of store. */
function summary({ method, kind }: CallStart): string {
  return `${method} ${kind}`
}

function endAttributes({ result, outcome }: CallEvent): Attributes {
  if (result === 'ok') return {}
  return { 'error.type': result, ...(outcome && { 'holdfast.outcome': outcome }) }
}
