// The shape of every failure, and how schemas refer to shared ones.

import { STATUS_CODES } from 'node:http'
import { type TUnsafe, Type } from 'typebox'
import { type ProblemCode, problemCodes } from '../../errors.ts'
import { PROBLEM_TYPE, statuses } from '../problem.ts'

/** The shared schema of this `$id`; `T` is the type it stands for. */
export function reference<T>($id: string): TUnsafe<T> {
  return Type.Unsafe<T>({ $ref: `${$id}#` })
}

export const problemSchema = Type.Object(
  {
    type: Type.String({ description: 'A relative reference; this service answers it.' }),
    title: Type.String(),
    status: Type.Integer({ minimum: 400, maximum: 599 }),
    code: Type.Enum([...problemCodes], { description: 'Stable: what programs should look at.' }),
    detail: Type.Optional(Type.String({ description: 'What went wrong this time.' })),
    request_id: Type.String({ description: 'Finds the request in the log.' }),
    errors: Type.Optional(
      Type.Array(
        Type.Object({
          pointer: Type.String({
            description: 'JSON pointer to the field; `/name` for a query parameter.',
          }),
          code: Type.String({ description: 'The rule that was broken.' }),
          detail: Type.String(),
        }),
        { maxItems: 20 },
      ),
    ),
  },
  { $id: 'Problem', description: 'A failure (RFC 9457).' },
)

export const problemParams = Type.Object({ code: Type.String() })

export const problemKindSchema = Type.Object({
  code: Type.Enum([...problemCodes]),
  status: Type.Integer(),
  title: Type.String(),
  meaning: Type.String(),
  remedy: Type.String(),
})

/** What a route answers: its own bodies by status, and the problems of these codes. Documentation only. */
export function answers(own: Record<number, object>, ...codes: ProblemCode[]): unknown {
  const bodies = Object.entries(own).map(([status, body]) => [
    status,
    'content' in body || isNothing(body)
      ? body
      : documented(Number(status), 'application/json', body),
  ])
  const problems = codes.map((code) => [
    statuses[code],
    documented(statuses[code], PROBLEM_TYPE, reference('Problem')),
  ])
  return Object.fromEntries([...bodies, ...problems])
}

/** `Type.Null()`: an answer without a body. */
function isNothing(body: object): boolean {
  return 'type' in body && body.type === 'null'
}

function documented(status: number, mediaType: string, schema: object): object {
  return { description: STATUS_CODES[status], content: { [mediaType]: { schema } } }
}
