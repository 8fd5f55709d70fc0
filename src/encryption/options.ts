/** The option of stores that can encrypt what they keep. */
import type { StoreOptions } from '../store/contract.ts'
import type { KeyRing, KeyRingOptions } from './key-ring.ts'

export interface EncryptableStoreOptions extends StoreOptions {
  /**
   * Encrypts what the store keeps: of conversations all that people and models wrote, of state the values. What is there in plaintext is
   * converted by `encryptStore` of `holdfast/encryption`, and refused until then. Default: nothing is encrypted.
   */
  readonly encryption?: KeyRing | KeyRingOptions | undefined
}
