/**
 * The version of the contracts between stores and backends. It rises only when a backend that keeps the contracts of the version before
 * would no longer do; what a newer Holdfast adds is optional. A package says in its package.json for which version its backends were
 * written: `"holdfast": { "apiVersion": 1 }`.
 */
export const API_VERSION = 1
