// The header fields of answers as components of the document: each is described once.

import { answerHeaders, type HeaderSchema } from './routes/headers.schema.ts'

/** An OpenAPI document, as far as it is looked at here. */
interface Document {
  paths?: Record<string, Record<string, Operation>>
  components?: object
}

interface Operation {
  responses?: Record<string, { headers?: object }>
}

/** Puts references in the place of the repeated descriptions that routes are declared with. */
export function shareHeaders<D extends object>(made: D): D {
  const document: Document = made
  const operations = Object.values(document.paths ?? {}).flatMap((path) => Object.values(path))
  for (const response of operations.flatMap(({ responses }) => Object.values(responses ?? {}))) {
    const names = Object.keys(response.headers ?? {})
    const references = names.map((name) => [name, { $ref: `#/components/headers/${name}` }])
    if (names.length > 0) response.headers = Object.fromEntries(references)
  }
  return { ...made, components: { ...document.components, headers: sharedHeaders() } }
}

function sharedHeaders(): object {
  const entries = Object.entries<HeaderSchema>(answerHeaders)
  return Object.fromEntries(
    entries.map(([name, { description, ...schema }]) => [
      name,
      description === undefined ? { schema } : { description, schema },
    ]),
  )
}
