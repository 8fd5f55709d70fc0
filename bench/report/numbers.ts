/** How figures are told: three digits, which is what a benchmark knows at best. */
import type { Comparison, Figure } from '../peers/result.ts'

export type Unit = Comparison['unit']

export function told(value: number, unit: Unit): string {
  if (unit === 'recall') return value.toFixed(4)
  if (unit === 'fsyncs') return digits(value)
  return `${digits(value)}${unit === 'ops/s' ? '/s' : ` ${unit}`}`
}

export function digits(value: number): string {
  return value.toLocaleString('en', { maximumSignificantDigits: 3 })
}

/** The figure that the others are told as multiples of: the first of Holdfast. */
export function reference({ figures }: Comparison): Figure | undefined {
  return figures.find((figure) => isOurs(figure) && figure.median !== undefined)
}

export function isOurs({ contender }: Figure): boolean {
  return /^holdfast\b/i.test(contender)
}

/** Multiple of Holdfast's figure; undefined for that itself, and where there is nothing to divide. */
export function multiple(figure: Figure, comparison: Comparison): string | undefined {
  const ours = reference(comparison)
  if (figure === ours || figure.median === undefined || !ours?.median || comparison.unit === 'recall') return undefined
  return `${(figure.median / ours.median).toLocaleString('en', { maximumSignificantDigits: 2 })}×`
}
