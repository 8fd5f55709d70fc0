/** DynamoDB Local, Amazon’s own emulator, from Maven Central. */
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { installHere, tied } from './chroot.ts'
import { hasCommand, logged } from './command.ts'
import type { Engine, Place, Plan } from './engine.ts'
import { DYNAMODB_LOCAL } from './pins.ts'
import { freePort } from './ports.ts'

const MAIN = 'com.amazonaws.services.dynamodbv2.local.main.ServerRunner'
const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>services</groupId><artifactId>dynamodb</artifactId><version>1</version><dependencies><dependency>
<groupId>com.amazonaws</groupId><artifactId>DynamoDBLocal</artifactId><version>${DYNAMODB_LOCAL}</version>
</dependency></dependencies></project>
`
/** It checks that there are credentials, not which. */
const CREDENTIALS = { region: 'us-east-1', accessKeyId: 'local', secretAccessKey: 'local' }

export const dynamodb: Engine = {
  name: 'dynamodb',
  engine: 'DynamoDB Local',
  category: 'vendor’s emulator',
  isInstalled: (home) => existsSync(jarOf(folderOf(home))),
  install,
  plan,
  answer: async ({ url }) => {
    await listTables(url)
    return DYNAMODB_LOCAL
  },
}

const folderOf = (home: string): string => join(home, `dynamodb-${DYNAMODB_LOCAL}`)
const jarOf = (folder: string): string => join(folder, 'lib', `DynamoDBLocal-${DYNAMODB_LOCAL}.jar`)

async function install(home: string): Promise<void> {
  if (!(await hasCommand('java'))) await installHere(home, 'default-jre-headless')
  if (dynamodb.isInstalled(home)) return
  if (!(await hasCommand('mvn'))) await installHere(home, 'maven')
  const folder = folderOf(home)
  const part = `${folder}.part`
  await rm(part, { recursive: true, force: true })
  mkdirSync(part, { recursive: true })
  writeFileSync(join(part, 'pom.xml'), POM)
  const copy = ['mvn', '-B', '-q', 'dependency:copy-dependencies', `-DoutputDirectory=${join(part, 'lib')}`]
  await logged(copy, join(home, 'logs', 'maven.log'), { cwd: part })
  if (!existsSync(jarOf(part))) throw new Error(`Maven left no ${jarOf(part)}`)
  renameSync(part, folder)
}

async function plan({ home, folder, log, isPrivate }: Place): Promise<Plan> {
  const port = await freePort()
  const lib = join(folderOf(home), 'lib')
  const java = ['java', '-Xmx1g', `-Djava.library.path=${lib}`, '-cp', join(lib, '*'), MAIN, '-port', String(port), '-sharedDb']
  const data = isPrivate ? ['-dbPath', folder] : ['-inMemory']
  const argv = [...java, ...data, '-disableTelemetry']
  const server = { name: 'dynamodb', argv: isPrivate ? tied(argv) : argv, port, log: log('dynamodb') }
  return { processes: [server], service: { url: `http://127.0.0.1:${port}`, ...CREDENTIALS } }
}

async function listTables(url: string): Promise<void> {
  const signature = `Credential=${CREDENTIALS.accessKeyId}/20260101/${CREDENTIALS.region}/dynamodb/aws4_request`
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-amz-json-1.0',
      'x-amz-target': 'DynamoDB_20120810.ListTables',
      authorization: `AWS4-HMAC-SHA256 ${signature}, SignedHeaders=host, Signature=0`,
    },
    body: '{}',
    signal: AbortSignal.timeout(5_000),
  })
  const body = await response.text()
  if (!response.ok) throw new Error(`${response.status} ${body.slice(0, 200)}`)
}
