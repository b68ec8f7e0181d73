// What any request may be answered before it comes to a route, as components of the document.

import { STATUS_CODES } from 'node:http'
import { PROBLEM_TYPE } from './problem.ts'
import { exampleProblem } from './routes/examples.ts'

/** An OpenAPI document, as far as it is looked at here. */
interface Document {
  paths?: Record<string, Record<string, { responses?: object }>>
  components?: object
}

/** A request that keeps every rule of its route can be too large as a whole: parameters add up. */
const refusals = { 414: 'AddressTooLong', 431: 'HeadersTooLarge' } as const

/** Adds them to every operation. */
export function describeRefusals<D extends object>(made: D): D {
  const document: Document = made
  const references = Object.fromEntries(
    Object.entries(refusals).map(([status, name]) => [
      status,
      { $ref: `#/components/responses/${name}` },
    ]),
  )
  for (const operation of Object.values(document.paths ?? {}).flatMap((it) => Object.values(it)))
    operation.responses = { ...operation.responses, ...references }
  return { ...made, components: { ...document.components, responses: sharedResponses() } }
}

function sharedResponses(): object {
  return Object.fromEntries(
    Object.entries(refusals).map(([status, name]) => [
      name,
      {
        description: STATUS_CODES[status],
        headers: { 'X-Request-Id': { $ref: '#/components/headers/X-Request-Id' } },
        content: {
          [PROBLEM_TYPE]: {
            schema: { $ref: '#/components/schemas/Problem' },
            examples: { too_large: { value: exampleProblem('too_large', Number(status)) } },
          },
        },
      },
    ]),
  )
}
