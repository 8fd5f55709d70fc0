/** Filters: the language that callers write, the tree that backends compile, and its meaning on a metadata object. */

export type FilterScalar = string | number | boolean | null

/**
 * A checked filter. `path` is the field's name split at its dots: one part, or several where `capabilities.filter.nested`.
 * A missing field satisfies only `ne`, `nin`, `not`, `exists: false` and `eq: null`.
 */
export type FilterNode =
  | { readonly op: 'and' | 'or'; readonly nodes: readonly FilterNode[] }
  | { readonly op: 'not'; readonly node: FilterNode }
  | { readonly op: 'eq' | 'ne'; readonly path: readonly string[]; readonly value: FilterScalar }
  | { readonly op: 'gt' | 'gte' | 'lt' | 'lte'; readonly path: readonly string[]; readonly value: string | number }
  | { readonly op: 'in' | 'nin'; readonly path: readonly string[]; readonly values: readonly FilterScalar[] }
  | { readonly op: 'exists'; readonly path: readonly string[]; readonly exists: boolean }
