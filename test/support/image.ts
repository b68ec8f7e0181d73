// The container image without a container engine: what deploy/Dockerfile says is read, its files are laid
// out in a folder, and its process is started there as an engine would start it. Instructions that are
// not known here throw, so that nothing in the file goes unnoticed.

import { existsSync } from 'node:fs'
import { cp, mkdir, readFile } from 'node:fs/promises'
import { dirname, join, matchesGlob, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Image {
  base: string
  labels: Readonly<Record<string, string>>
  environment: Readonly<Record<string, string>>
  user: string
  folder: string
  ports: readonly string[]
  /** Its own process, without the arguments of one's own. */
  entrypoint: readonly string[]
  command: readonly string[]
  healthcheck: readonly string[]
  copies: readonly Copy[]
}

interface Copy {
  from: string
  to: string
  /** Made by another stage. */
  stage: string | undefined
}

const checkout = fileURLToPath(new URL('../..', import.meta.url))

export async function readImage(): Promise<Image> {
  const lines = instructions(await readFile(join(checkout, 'deploy/Dockerfile'), 'utf8'))
  const at = lines.findLastIndex(([name]) => name === 'FROM')
  const packages = lines.slice(0, at).filter(([name]) => name === 'RUN')
  if (packages.length !== 1 || !/^npm ci --omit=dev /.test(packages[0]?.[1] ?? ''))
    throw new Error('the first stage does something else than npm ci --omit=dev')
  const of = (wanted: string) => lines.slice(at).filter(([name]) => name === wanted)
  const last = (wanted: string) => of(wanted).at(-1)?.[1] ?? ''
  for (const [name] of lines) if (!known.has(name)) throw new Error(`${name} is not known here`)
  return {
    base: last('FROM'),
    labels: pairs(last('LABEL')),
    environment: pairs(last('ENV')),
    user: last('USER'),
    folder: last('WORKDIR'),
    ports: last('EXPOSE').split(' '),
    entrypoint: JSON.parse(last('ENTRYPOINT')),
    command: JSON.parse(last('CMD')),
    healthcheck: JSON.parse(last('HEALTHCHECK').replace(/^.*? CMD /, '')),
    copies: of('COPY').flatMap(([, text]) => copiesOf(text)),
  }
}

const known = new Set(
  'FROM LABEL WORKDIR RUN COPY ENV USER EXPOSE STOPSIGNAL HEALTHCHECK ENTRYPOINT CMD'.split(' '),
)

function instructions(text: string): [name: string, rest: string][] {
  return text
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, name = '', rest = ''] = /^(\w+)\s+(.*)$/.exec(line) ?? []
      return [name, rest.replace(/\s+/g, ' ')]
    })
}

function pairs(text: string): Record<string, string> {
  const found = text.matchAll(/([\w.]+)=(?:"([^"]*)"|(\S+))/g)
  return Object.fromEntries([...found].map(([, name, quoted, bare]) => [name, quoted ?? bare]))
}

function copiesOf(text: string): Copy[] {
  const words = text.split(' ')
  const stage = words[0]?.startsWith('--from=') ? words.shift()?.slice(7) : undefined
  const to = words.pop() ?? ''
  return words.map((from) => ({ from, to, stage }))
}

/** Lays out what the image holds below its folder, with an empty one for packages. */
export async function layOut({ copies, folder }: Image, target: string): Promise<void> {
  const isSent = await contextFilter()
  for (const { from, to, stage } of copies) {
    if (stage !== undefined) {
      if (from !== `${folder}/node_modules`) throw new Error(`${from} is not known here`)
      await mkdir(join(target, to), { recursive: true })
    } else if (!isSent(from)) throw new Error(`.dockerignore leaves out ${from}`)
    else
      await cp(join(checkout, from), join(target, to === './' ? from : to), {
        recursive: true,
        filter: (path) => isSent(relative(checkout, path)),
      })
  }
}

/** Where packages are installed, and what of it `npm ci --omit=dev` does not install. */
export async function installedPackages(): Promise<{ path: string; hidden: string[] }> {
  const { packages } = JSON.parse(await readFile(join(checkout, 'package-lock.json'), 'utf8'))
  const places = Object.entries<{ dev?: boolean }>(packages)
    .filter(([, { dev }]) => dev)
    .map(([place]) => place)
  const hidden = [...places, 'node_modules/.bin', 'node_modules/.cache']
  return {
    path: join(checkout, 'node_modules'),
    // What is for another system is not there.
    hidden: hidden.filter((place) => existsSync(join(checkout, place))),
  }
}

/** By .dockerignore: of the patterns that mean a file, or a folder that it lies in, the last decides. */
async function contextFilter(): Promise<(path: string) => boolean> {
  const text = await readFile(join(checkout, '.dockerignore'), 'utf8')
  const patterns = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return (path) => {
    const parents: string[] = []
    for (let one = path; one !== '.'; one = dirname(one)) parents.push(one)
    const rule = patterns.findLast((pattern) =>
      parents.some((one) => matchesGlob(one, pattern.replace(/^!/, ''))),
    )
    return rule === undefined || rule.startsWith('!')
  }
}
