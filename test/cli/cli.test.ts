// What an operator sees of the command line itself, whichever command is meant.

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { vitrine } from '../support/vitrine.ts'

/** The names in a list of commands, as `vitrine --help` prints it. */
function namesIn(help: string): string[] {
  const [, list = ''] = /\nCommands\n([\s\S]*?)\n\n/.exec(help) ?? []
  return list.split('\n').map((line) => line.trim().split(/ {2,}/)[0] ?? '')
}

test('--help lists the commands, and each of them has its own', async () => {
  const overview = await vitrine(['--help'])
  assert.deepEqual([overview.code, overview.stderr], [0, ''])
  const names = namesIn(overview.stdout)
  assert.ok(
    ['serve', 'migrate', 'config'].every((name) => names.includes(name)),
    overview.stdout,
  )
  const helps = await Promise.all(names.map((name) => vitrine([...name.split(' '), '--help'])))
  for (const [at, { code, stdout }] of helps.entries()) {
    assert.equal(code, 0)
    assert.ok(stdout.includes(`Usage: vitrine ${names[at]} [options]`), stdout)
    assert.ok(
      stdout.split('\n').every((line) => line.length <= 100),
      stdout,
    )
  }
})

test('without a command the list goes to standard error, with exit code 2', async () => {
  const { code, stdout, stderr } = await vitrine([])
  assert.deepEqual([code, stdout], [2, ''])
  assert.ok(namesIn(stderr).includes('serve'))
})

for (const [args, message] of [
  [['nonsense'], 'there is no command nonsense; see vitrine --help'],
  [['--nonsense'], 'there is no command --nonsense; see vitrine --help'],
  [['config', 'extra'], 'unexpected argument: extra; see vitrine config --help'],
] as const) {
  test(`vitrine ${args.join(' ')} is wrong usage, and says where help is`, async () => {
    assert.deepEqual(await vitrine(args), { code: 2, stdout: '', stderr: `${message}\n` })
  })
}

test('an option that a command does not have is wrong usage', async () => {
  const { code, stderr } = await vitrine(['migrate', '--deep'])
  assert.equal(code, 2)
  assert.match(stderr, /'--deep'/)
})

test('--version is that of the package', async () => {
  assert.match((await vitrine(['--version'])).stdout, /^\d+\.\d+\.\d+\n$/)
})

test('an option beats the environment', async () => {
  const { stdout } = await vitrine(['config', '--json', '--port', '1234'], { env: { PORT: '99' } })
  assert.deepEqual(JSON.parse(stdout).PORT, {
    value: '1234',
    source: 'command line',
    key: 'PORT',
  })
})

test('warnings about the settings are told by every command, beside mistakes too', async () => {
  const cwd = await mkdtemp(join(tmpdir(), 'vitrine-cli-'))
  try {
    await writeFile(join(cwd, '.env'), 'PROT=81\n')
    const warning = 'warning: PROT (.env) is not a setting; did you mean PORT?\n'
    const { code, stderr } = await vitrine(['config'], { cwd })
    assert.deepEqual([code, stderr], [0, warning])
    for (const command of ['serve', 'migrate', 'config']) {
      const refused = await vitrine([command], { cwd, env: { LOG_LEVELS: 'htpp=warn' } })
      assert.equal(refused.code, 2)
      assert.ok(refused.stderr.startsWith(warning), refused.stderr)
      assert.match(refused.stderr, /LOG_LEVELS \(environment\) is "htpp=warn".*\(app, .*http, .*\)/)
    }
  } finally {
    await rm(cwd, { recursive: true, force: true })
  }
})
