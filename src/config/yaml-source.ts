// Reads config.yaml. Every value is taken as it is written (`0123` stays a password, `1e3` is no
// number), and nothing of the file's text but its keys is ever repeated in a message.

import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type YAMLMap,
} from 'yaml'
import { unknownKey, yamlGroups, yamlKeys, yamlWords } from './names.ts'
import { type SettingName, settingOf } from './settings.ts'

export interface YamlFindings {
  found: { name: SettingName; key: string; text: string }[]
  mistakes: string[]
  warnings: string[]
}

/** What the text of a config.yaml says about settings. Never throws. */
export function readYaml(file: string, source: string): YamlFindings {
  const findings: YamlFindings = { found: [], mistakes: [], warnings: [] }
  const lines = new LineCounter()
  // prettyErrors would quote the line at fault, password and all.
  const document = parseDocument(file, {
    schema: 'failsafe',
    prettyErrors: false,
    lineCounter: lines,
    logLevel: 'silent',
  })
  const complaints = [...document.errors, ...document.warnings]
  for (const { code, pos } of complaints) {
    const { line, col } = lines.linePos(pos[0])
    const what = code.toLowerCase().replaceAll('_', ' ')
    findings.mistakes.push(`${source}, line ${line}, column ${col}, is not valid YAML: ${what}`)
  }
  if (complaints.length > 0 || document.contents === null) return findings
  if (isMap(document.contents)) readMap(document.contents, '', { document, source, findings })
  else if (!isEmptyScalar(document.contents)) {
    findings.mistakes.push(`${source} must be a map of settings and their values`)
  }
  return findings
}

const SWALLOWED = 'must be in quotes, because it begins with * or &'

interface Reading {
  document: Document
  source: string
  findings: YamlFindings
}

function readMap(map: YAMLMap<unknown, unknown>, prefix: string, reading: Reading): void {
  const { document, source, findings } = reading
  for (const pair of map.items) {
    const key = prefix + (isScalar(pair.key) ? String(pair.key.value) : '')
    const node = isAlias(pair.value) ? pair.value.resolve(document) : (pair.value as Node | null)
    const name = yamlKeys.get(key.toLowerCase())
    const isGroup = yamlGroups.has(key.toLowerCase())
    if (name === undefined && !isGroup) findings.warnings.push(unknownKey(source, key, yamlWords))
    else if (isSwallowed(pair.value, node))
      findings.mistakes.push(`${key} (${source}) ${SWALLOWED}`)
    else if (name !== undefined) readValue(node, { name, key }, reading)
    else if (isMap(node)) readMap(node, `${key}.`, reading)
    else if (!isEmptyScalar(node)) findings.mistakes.push(`${key} (${source}) must be a map`)
  }
}

function readValue(
  node: Node | null | undefined,
  { name, key }: { name: SettingName; key: string },
  { source, findings }: Reading,
): void {
  const { collection } = settingOf(name).type
  const text = textOf(node, collection)
  if (text === undefined) {
    const other = collection === undefined ? '' : ` or a ${collection} of values`
    findings.mistakes.push(`${key} (${source}) must be a single value${other}`)
  } else findings.found.push({ name, key, text })
}

/** A value as a variable of the environment would hold it: lists and maps as `a,b` and `a=1,b=2`. */
function textOf(
  node: Node | null | undefined,
  collection: 'list' | 'map' | undefined,
): string | undefined {
  if (isEmptyScalar(node)) return ''
  if (isScalar(node)) return String(node.value)
  if (collection === 'list' && isSeq(node)) return joined(node.items.map(scalarText))
  if (collection !== 'map' || !isMap(node)) return undefined
  return joined(
    node.items.map(({ key, value }) => {
      const [left, right] = [scalarText(key), scalarText(value)]
      return left === undefined || right === undefined ? undefined : `${left}=${right}`
    }),
  )
}

function scalarText(node: unknown): string | undefined {
  return isScalar(node) ? String(node.value) : undefined
}

function joined(parts: (string | undefined)[]): string | undefined {
  return parts.includes(undefined) ? undefined : parts.join(',')
}

/** A value that YAML takes for the name of an anchor: the value is empty, and nobody would notice. */
function isSwallowed(written: unknown, meant: Node | null | undefined): boolean {
  if (isAlias(written)) return meant === undefined
  return isScalar(written) && written.anchor !== undefined && isEmptyScalar(written)
}

/** Nothing, `~` and `null`: unless quoted, the ways to leave a value out. */
function isEmptyScalar(node: Node | null | undefined): boolean {
  if (node === null || node === undefined) return true
  return isScalar(node) && node.type === 'PLAIN' && /^(~|null)?$/i.test(String(node.value))
}
