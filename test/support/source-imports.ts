// What each source file imports, as the TypeScript parser sees it: static, dynamic and type-only
// imports, re-exports, `import('x').Type`. Comments and strings that look like imports are none.

import { posix } from 'node:path'
import {
  isBindingElement,
  isCallExpression,
  isElementAccessExpression,
  isExportDeclaration,
  isIdentifier,
  isImportDeclaration,
  isImportSpecifier,
  isNoSubstitutionTemplateLiteral,
  isObjectBindingPattern,
  isPropertyAccessExpression,
  isStringLiteral,
  isVariableDeclaration,
  type Node,
  type NoSubstitutionTemplateLiteral,
  type SourceFile,
  type StringLiteral,
  SyntaxKind,
} from 'typescript/unstable/ast'
import { API } from 'typescript/unstable/async'
import type { FileSystem } from 'typescript/unstable/fs'

export interface SourceModule {
  /** From the root of the repository: `src/storage/open.ts`. */
  path: string
  imports: SourceImport[]
  /** Whether it reads the environment of the process, in whatever spelling. */
  readsEnvironment: boolean
}

export interface SourceImport {
  /** A file as SourceModule.path, or the specifier of a package. */
  target: string
  /** `computed`: what it imports cannot be told from the text. */
  kind: 'static' | 'type' | 'dynamic' | 'computed'
}

/** Reads every TypeScript and JavaScript file below the folders; `fs` stands in for the disk in tests. */
export async function readSources(
  root: string,
  folders: readonly string[],
  fs?: FileSystem,
): Promise<SourceModule[]> {
  const configFile = posix.join(root, 'tsconfig.imports.json')
  const api = new API({ cwd: root, fs: withConfig(configFile, folders, fs) })
  try {
    const snapshot = await api.updateSnapshot({ openProjects: [configFile] })
    const project = snapshot.getProject(configFile)
    if (!project) throw new Error(`nothing to read in ${root}`)
    const modules: SourceModule[] = []
    for (const file of project.rootFiles) {
      const source = await project.program.getSourceFile(file)
      if (!source) throw new Error(`${file} could not be parsed`)
      modules.push(describeSource(posix.relative(root, file), source))
    }
    return modules
  } finally {
    await api.close()
  }
}

/** Only the syntax is asked for, so nothing of the real settings matters; JavaScript files count too. */
function withConfig(
  configFile: string,
  folders: readonly string[],
  fs: FileSystem = {},
): FileSystem {
  const config = {
    compilerOptions: { allowJs: true, noEmit: true, noLib: true, noResolve: true, types: [] },
    include: folders,
  }
  return {
    ...fs,
    readFile: (name) => (name === configFile ? JSON.stringify(config) : fs.readFile?.(name)),
    fileExists: (name) => name === configFile || fs.fileExists?.(name),
  }
}

function describeSource(path: string, source: SourceFile): SourceModule {
  const imports = source.imports.filter(isLiteral).map((specifier) => ({
    target: resolve(path, specifier.text),
    kind: kindOf(specifier),
  }))
  let readsEnvironment = false
  const visit = (node: Node): void => {
    if (isComputedImport(node)) imports.push({ target: node.getText(), kind: 'computed' })
    if (isEnvironment(node)) readsEnvironment = true
    node.forEachChild(visit)
  }
  visit(source)
  return { path, imports, readsEnvironment }
}

function resolve(from: string, specifier: string): string {
  return specifier.startsWith('.') ? posix.join(posix.dirname(from), specifier) : specifier
}

function kindOf(specifier: Node): SourceImport['kind'] {
  const { parent } = specifier
  if (isCallExpression(parent)) return 'dynamic'
  if (isImportDeclaration(parent))
    return parent.importClause?.phaseModifier === SyntaxKind.TypeKeyword ? 'type' : 'static'
  if (isExportDeclaration(parent)) return parent.isTypeOnly ? 'type' : 'static'
  return parent.kind === SyntaxKind.LiteralType ? 'type' : 'static'
}

function isComputedImport(node: Node): boolean {
  if (!isCallExpression(node) || node.expression.kind !== SyntaxKind.ImportKeyword) return false
  const [specifier] = node.arguments
  return !specifier || !isLiteral(specifier)
}

/** `process.env`, `process['env']`, `const { env } = process`, `import { env } from 'node:process'`. */
function isEnvironment(node: Node): boolean {
  if (isPropertyAccessExpression(node))
    return node.name.text === 'env' && isProcess(node.expression)
  if (isElementAccessExpression(node))
    return isText(node.argumentExpression, 'env') && isProcess(node.expression)
  if (isBindingElement(node))
    return isText(node.propertyName ?? node.name, 'env') && isOfProcess(node)
  if (isImportSpecifier(node))
    return isText(node.propertyName ?? node.name, 'env') && isFromProcess(node)
  return false
}

function isProcess(node: Node | undefined): boolean {
  if (!node) return false
  if (isPropertyAccessExpression(node)) return node.name.text === 'process'
  return isText(node, 'process')
}

function isOfProcess(element: Node): boolean {
  const pattern = element.parent
  const declaration = pattern.parent
  return (
    isObjectBindingPattern(pattern) &&
    isVariableDeclaration(declaration) &&
    isProcess(declaration.initializer)
  )
}

function isFromProcess(specifier: Node): boolean {
  let node = specifier.parent
  while (!isImportDeclaration(node)) node = node.parent
  return /^(node:)?process$/.test((node.moduleSpecifier as { text?: string }).text ?? '')
}

function isText(node: Node | undefined, text: string): boolean {
  return node !== undefined && (isIdentifier(node) || isLiteral(node)) && node.text === text
}

function isLiteral(node: Node): node is StringLiteral | NoSubstitutionTemplateLiteral {
  return isStringLiteral(node) || isNoSubstitutionTemplateLiteral(node)
}
