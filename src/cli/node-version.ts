/** The oldest Node that Holdfast runs on: older ones cut text at U+0000 and ship an SQLite with a known fault. */
export const NODE_NEEDED = '24.16'

export function isNodeRecent(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [neededMajor = 0, neededMinor = 0] = NODE_NEEDED.split('.').map(Number)
  return major > neededMajor || (major === neededMajor && minor >= neededMinor)
}
