/** The statements of state on Postgres. */
import { distinctValues, type SqlDialect } from '../engines/sql.ts'

export interface ServerStatements {
  /** space, key */
  readonly get: string
  /** space, keys as JSON */
  readonly getMany: string
  /** space, key, first version, text, bytes, milliseconds to live */
  readonly put: string
  /** space, key, first version, text, bytes */
  readonly putKeepingTtl: string
  /** As `put`; changes nothing where the key is there. */
  readonly putIfAbsent: string
  /** text, bytes, milliseconds to live, whether to keep the present ones (1 or 0), space, key, version */
  readonly replace: string
  /** space, key, first version, amount, amount twice, the greatest sum; gives the sum, or nothing where it cannot tell. */
  readonly add: string
  /** space, key */
  readonly delete: string
  /** space, key, version */
  readonly deleteVersion: string
  /** space, first version, keys as JSON; keys whose values are wanted as JSON, space, keys once more. */
  readonly hold: string
  /** space, rows as JSON: key, first version, text, bytes in base64, milliseconds to live or time of expiry. */
  readonly upsert: string
  /** space, keys as JSON */
  readonly deleteMany: string
  /** Those of `deleteMany`, then those of `upsert`. */
  readonly deleteAndUpsert: string
  /** rows */
  readonly purge: string
  /** space and key that it begins at or behind, and that it ends before; limit */
  scan(exclusive: boolean): string
  /** lower bound, upper bound twice if there is one, limit */
  spaces(exclusive: boolean, bounded: boolean): string
}

/** The beginning of the transaction by the server's clock, the same for all of its statements. */
const NOW = '(extract(epoch FROM now()) * 1000)::bigint'
const KEYS = '(ARRAY (SELECT json_array_elements_text(?::json)))'
const MAX_SAFE = Number.MAX_SAFE_INTEGER
/** JSON texts of integers as JavaScript writes them; others are read by ourselves. */
const INTEGER = '^-{0,1}(0|[1-9][0-9]{0,15})$'

function ifWanted(column: string): string {
  return `CASE WHEN t.key = ANY ((SELECT keys FROM wanted)::text[]) THEN ${column} END`
}

export function serverStatements(dialect: SqlDialect, prefix: string): ServerStatements {
  const table = dialect.table(`${prefix}state`)
  const live = `(t.expires_at IS NULL OR t.expires_at > ${NOW})`
  const kept = `CASE WHEN t.expires_at > ${NOW} THEN t.expires_at END`
  const at = 't.space = ? AND t.key = ?'
  const entry = `t.text, t.bytes, t.version, t.expires_at - ${NOW} AS ttl`
  const insert = `INSERT INTO ${table} AS t (space, key, version, text, bytes, expires_at)`
  const update = 'ON CONFLICT (space, key) DO UPDATE SET version = t.version + 1, text = excluded.text, bytes = excluded.bytes'
  const put = `${insert} VALUES (?, ?, ?, ?, ?, ${NOW} + ?::bigint) ${update}, expires_at = excluded.expires_at`
  const upsert = `${insert}
    SELECT ?, r.key, r.version, r.text, decode(r.bytes, 'base64'), coalesce(r.expires, ${NOW} + r.ttl)
    FROM json_to_recordset(?::json) AS r (key text, version bigint, text text, bytes text, ttl bigint, expires bigint)
    ${update}, expires_at = excluded.expires_at`
  const deleteMany = `DELETE FROM ${table} t WHERE t.space = ? AND t.key = ANY ${KEYS}`
  const isSafe = `t.text ~ '${INTEGER}' AND abs(t.text::bigint) <= ${MAX_SAFE}`
  return {
    get: `SELECT ${entry} FROM ${table} t WHERE ${at} AND ${live}`,
    getMany: `SELECT t.key, ${entry} FROM ${table} t WHERE t.space = ? AND t.key = ANY ${KEYS} AND ${live}`,
    put,
    putKeepingTtl: `${insert} VALUES (?, ?, ?, ?, ?, NULL) ${update}, expires_at = ${kept}`,
    putIfAbsent: `${put} WHERE NOT ${live}`,
    replace: `UPDATE ${table} t SET version = t.version + 1, text = ?, bytes = ?, expires_at = coalesce(${NOW} + ?::bigint, CASE WHEN ? = 1 THEN t.expires_at END)
      WHERE ${at} AND ${live} AND t.version::text = ?`,
    add: `${insert} VALUES (?, ?, ?, ?, NULL, NULL) ON CONFLICT (space, key) DO UPDATE SET version = t.version + 1,
      text = CASE WHEN ${live} THEN (t.text::bigint + ?::bigint)::text ELSE excluded.text END, bytes = NULL, expires_at = ${kept}
      WHERE CASE WHEN NOT ${live} THEN TRUE WHEN ${isSafe} THEN t.text::bigint + ?::bigint BETWEEN -${MAX_SAFE} AND ?::bigint ELSE FALSE END
      RETURNING t.text::bigint AS sum`,
    delete: `DELETE FROM ${table} t WHERE ${at} AND ${live}`,
    deleteVersion: `DELETE FROM ${table} t WHERE ${at} AND ${live} AND t.version::text = ?`,
    // Rows that are there are locked even though the condition lets none be changed, all in the order of the keys. What is read of them is
    // their newest state, because they are locked by then; a row that another has made since the statement began is not among them.
    hold: `WITH made AS (${insert} SELECT ?, key, ?::bigint, '', NULL, 0 FROM json_array_elements_text(?::json) key
        ON CONFLICT (space, key) DO UPDATE SET version = t.version WHERE FALSE RETURNING t.key),
      wanted AS MATERIALIZED (SELECT ${KEYS} AS keys),
      found AS MATERIALIZED (SELECT t.key, t.version, t.expires_at, ${live} AS live, ${ifWanted('t.text')} AS text, ${ifWanted('t.bytes')} AS bytes
        FROM ${table} t WHERE (SELECT count(*) FROM made) >= 0 AND t.space = ? AND t.key = ANY ${KEYS} FOR UPDATE OF t)
      SELECT FALSE AS made, key, version, expires_at, live, text, bytes FROM found
      UNION ALL SELECT TRUE, key, 0, 0, FALSE, NULL, NULL FROM made`,
    upsert,
    deleteMany,
    deleteAndUpsert: `WITH gone AS (${deleteMany}) ${upsert}`,
    purge: `DELETE FROM ${table} WHERE (space, key) IN
      (SELECT t.space, t.key FROM ${table} t WHERE t.expires_at <= ${NOW} ORDER BY t.expires_at LIMIT ? FOR UPDATE SKIP LOCKED)`,
    // Rows as bounds, because a server that knows nothing of the table yet takes them for many, and so walks the index rather than sort.
    scan: (exclusive) => `SELECT t.key FROM ${table} t
      WHERE (t.space, t.key) ${exclusive ? '>' : '>='} (?, ?) AND (t.space, t.key) < (?, ?) AND ${live} ORDER BY t.space, t.key LIMIT ?`,
    spaces: (exclusive, bounded) => {
      // No `EXISTS`, which the server may make a join of, in an order of its own; and in the order of an index, so that it uses that.
      const where = `(SELECT TRUE FROM ${table} t WHERE t.space = found.value AND ${live} ORDER BY t.space, t.key LIMIT 1)`
      return distinctValues(table, 'space', { exclusive, bounded, where })
    },
  }
}
