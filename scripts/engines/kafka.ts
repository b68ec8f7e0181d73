// A Kafka of the caller's own, to be stopped, killed and started again: one node without ZooKeeper, on ports
// and in a folder that nobody else uses. Its jars come from Maven once and are kept in the user's cache.

import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { findFreePort } from '../../src/app/free-port.ts'
import { run } from '../processes.ts'
import { type Engine, startEngine } from './engine.ts'

export interface KafkaServer extends Omit<Engine, 'signal'> {
  /** `127.0.0.1:port`, for whoever comes. */
  readonly address: string
  /** The port of the listener that asks for the user and the password. */
  readonly saslPort: number
  /** The port of the listener with TLS; 0 without a certificate. */
  readonly tlsPort: number
}

export interface KafkaServerOptions {
  signal?: AbortSignal
  /** In PEM, the key in PKCS #8. */
  tls?: { key: string; cert: string }
}

export const VERSION = '4.1.0'
const CACHE = process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
const FOLDER = join(CACHE, 'vitrine', `kafka-${VERSION}`)
const JARS = join(FOLDER, 'jars')
/** 3 to 5 s on two idle cores. */
const START_TIMEOUT_MS = 90_000
const HOST = '127.0.0.1'
/** Compiling less, it is up in half the time. */
const JVM = ['-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', join(JARS, '*')]

export const kafkaUser = { username: 'shop', password: 'p-ss.word' }

export function isKafkaInstalled(): boolean {
  return existsSync(JARS)
}

/** Fetches the jars when that was not done before. */
export async function installKafka({ signal }: { signal?: AbortSignal } = {}): Promise<void> {
  if (isKafkaInstalled()) return
  await mkdir(FOLDER, { recursive: true })
  const fetching = await mkdtemp(join(FOLDER, 'fetching-'))
  try {
    await writeFile(join(fetching, 'pom.xml'), pom)
    const goal = ['dependency:copy-dependencies', '-DoutputDirectory=jars']
    // Even when it has nothing to say it sets the colour of the terminal back.
    const onLine = (line: string) => void (line.includes('[ERROR]') && console.error(line))
    const options = { cwd: fetching, onLine, ...(signal && { signal }) }
    await run('mvn', ['--batch-mode', '--quiet', '-Dstyle.color=never', ...goal], options)
    await rename(join(fetching, 'jars'), JARS)
  } finally {
    await rm(fetching, { recursive: true, force: true })
  }
}

export async function startKafkaServer({
  signal,
  tls,
}: KafkaServerOptions = {}): Promise<KafkaServer> {
  await using starting = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-kafka-'))
  starting.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  const [port, controllerPort, saslPort, tlsPort] = await Promise.all([
    findFreePort(HOST),
    findFreePort(HOST),
    findFreePort(HOST),
    tls ? findFreePort(HOST) : 0,
  ])
  const file = join(folder, 'server.properties')
  const place = { folder, port, controllerPort, saslPort, tlsPort }
  await writeFile(file, propertiesOf({ ...place, ...(tls && { tls }) }))
  const options = { cwd: folder, ...(signal && { signal }) }
  const format = ['kafka.tools.StorageTool', 'format', ...formatOf(file)]
  await run('java', [...JVM, ...format], { ...options, onLine: () => {} })
  const engine = starting.use(
    await startEngine({
      name: 'Kafka',
      command: 'java',
      args: [...JVM, 'kafka.Kafka', file],
      options,
      greet: () => greet(port),
      startTimeoutMs: START_TIMEOUT_MS,
    }),
  )
  const everything = starting.move()
  return {
    address: `${HOST}:${port}`,
    saslPort,
    tlsPort,
    stop: engine.stop,
    kill: engine.kill,
    start: engine.start,
    [Symbol.asyncDispose]: () => everything.disposeAsync(),
  }
}

const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>vitrine</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>${VERSION}</version>
    </dependency>
  </dependencies>
</project>
`

/** Any cluster's id will do in a folder that one server uses. */
function formatOf(file: string): string[] {
  const { username, password } = kafkaUser
  const users = ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) => [
    '--add-scram',
    `${mechanism}=[name=${username},password=${password}]`,
  ])
  return ['--cluster-id', 'vitrine-test-kafka-00A', '--config', file, ...users]
}

interface Place {
  folder: string
  port: number
  controllerPort: number
  saslPort: number
  tlsPort: number
  tls?: { key: string; cert: string }
}

function propertiesOf({ folder, port, controllerPort, saslPort, tlsPort, tls }: Place): string {
  const { username, password } = kafkaUser
  const login = 'org.apache.kafka.common.security'
  const listeners = [
    `PLAIN://${HOST}:${port}`,
    `CONTROLLER://${HOST}:${controllerPort}`,
    `USERS://${HOST}:${saslPort}`,
    ...(tls ? [`TLS://${HOST}:${tlsPort}`] : []),
  ]
  const properties: Record<string, string | number> = {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@${HOST}:${controllerPort}`,
    'controller.listener.names': 'CONTROLLER',
    listeners: listeners.join(','),
    'listener.security.protocol.map':
      'PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT,USERS:SASL_PLAINTEXT,TLS:SSL',
    'inter.broker.listener.name': 'PLAIN',
    'log.dirs': join(folder, 'data'),
    'auto.create.topics.enable': 'false',
    // What a single node needs, and what keeps it small.
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 1,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 1,
    // Nobody else is expected, and one that was killed may come back at once.
    'group.initial.rebalance.delay.ms': 0,
    'broker.heartbeat.interval.ms': 500,
    'broker.session.timeout.ms': 3_000,
    'listener.name.users.sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
    'listener.name.users.plain.sasl.jaas.config': `${login}.plain.PlainLoginModule required user_${username}="${password}";`,
    'listener.name.users.scram-sha-256.sasl.jaas.config': `${login}.scram.ScramLoginModule required;`,
    'listener.name.users.scram-sha-512.sasl.jaas.config': `${login}.scram.ScramLoginModule required;`,
    ...(tls && {
      'listener.name.tls.ssl.keystore.type': 'PEM',
      'listener.name.tls.ssl.keystore.key': oneLine(tls.key),
      'listener.name.tls.ssl.keystore.certificate.chain': oneLine(tls.cert),
    }),
  }
  return Object.entries(properties)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
}

/** As a file of properties has several lines. */
function oneLine(pem: string): string {
  return pem.trim().replaceAll('\n', '\\n')
}

/** "Which versions of what do you speak?", asked by nobody: it is answered from when clients are. */
const QUESTION = Buffer.from('0000000a' + '0012' + '0000' + '00000001' + 'ffff', 'hex')

/** Resolves when somebody there answers: the port is open some time before. */
function greet(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: HOST, port, timeout: 1_000 })
    socket.on('connect', () => socket.write(QUESTION))
    socket.on('data', () => {
      socket.destroy()
      resolve()
    })
    socket.on('timeout', () => socket.destroy())
    socket.on('error', () => {})
    socket.on('close', () => reject(new Error('Kafka does not answer yet')))
  })
}
