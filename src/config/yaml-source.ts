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
import { unknownKey, yamlGroups, yamlKeys } from './names.ts'
import type { SettingName } from './settings.ts'

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
  for (const { code, pos } of document.errors) {
    const { line, col } = lines.linePos(pos[0])
    const what = code.toLowerCase().replaceAll('_', ' ')
    findings.mistakes.push(`${source}, line ${line}, column ${col}, is not valid YAML: ${what}`)
  }
  if (document.errors.length > 0 || document.contents === null) return findings
  if (isMap(document.contents)) readMap(document.contents, '', { document, source, findings })
  else if (!isEmptyScalar(document.contents)) {
    findings.mistakes.push(`${source} must be a map of settings and their values`)
  }
  return findings
}

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
    if (name !== undefined) readValue(name, key, node, reading)
    else if (!yamlGroups.has(key.toLowerCase()))
      findings.warnings.push(unknownKey(source, key, yamlKeys))
    else if (isMap(node)) readMap(node, `${key}.`, reading)
    else if (!isEmptyScalar(node)) findings.mistakes.push(`${key} (${source}) must be a map`)
  }
}

function readValue(
  name: SettingName,
  key: string,
  node: Node | null | undefined,
  { source, findings }: Reading,
): void {
  const text = textOf(node)
  if (text === undefined) findings.mistakes.push(`${key} (${source}) must be a single value`)
  else findings.found.push({ name, key, text })
}

/** A value as a variable of the environment would hold it: lists and maps as `a,b` and `a=1,b=2`. */
function textOf(node: Node | null | undefined): string | undefined {
  if (isEmptyScalar(node)) return ''
  if (isScalar(node)) return String(node.value)
  if (isSeq(node)) return joined(node.items.map(scalarText))
  if (!isMap(node)) return undefined
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

/** Nothing, `~` and `null`: unless quoted, the ways to leave a value out. */
function isEmptyScalar(node: Node | null | undefined): boolean {
  if (node === null || node === undefined) return true
  return isScalar(node) && node.type === 'PLAIN' && /^(~|null)?$/i.test(String(node.value))
}
