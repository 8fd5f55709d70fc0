/** Encryption at rest, published as `holdfast/encryption`. */
export { decryptStore, encryptStore, type ConversionOptions, type Converted, type ConvertibleStore } from '../conversion.ts'
export { generateKey, KeyRing, type KeyRingOptions } from './key-ring.ts'
