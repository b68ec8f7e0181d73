// The shape of every failure, and how schemas refer to shared ones.

import { STATUS_CODES } from 'node:http'
import { type TUnsafe, Type } from 'typebox'
import { type ProblemCode, problemCodes } from '../../errors.ts'
import { PROBLEM_TYPE, statuses } from '../problem.ts'
import { exampleProblem } from './examples.ts'
import { type AnswerHeader, type AnswerWithHeaders, answerHeaders } from './headers.schema.ts'

/** The shared schema of this `$id`; `T` is the type it stands for. */
export function reference<T>($id: string): TUnsafe<T> {
  return Type.Unsafe<T>({ $ref: `${$id}#` })
}

export const problemSchema = Type.Object(
  {
    type: Type.String({ description: 'A relative reference; this service answers it.' }),
    title: Type.String(),
    status: Type.Integer({
      minimum: 400,
      maximum: 599,
      description: 'That of the code, or a narrower one: `GET /problems/{code}` names both.',
    }),
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

export const problemParams = Type.Object({
  code: Type.String({ examples: ['invalid_input'] }),
})

export const problemKindSchema = Type.Object({
  code: Type.Enum([...problemCodes]),
  status: Type.Integer({ description: 'What the code comes with, if not with a narrower one.' }),
  narrower_statuses: Type.Array(Type.Integer(), {
    description: 'What it may come with instead, where HTTP has a status that says more.',
    examples: [[408, 416, 417]],
  }),
  title: Type.String(),
  meaning: Type.String(),
  remedy: Type.String(),
})

/** What a route answers: its own bodies by status, and the problems of these codes. Documentation only. */
export function answers(
  own: Record<number, object | AnswerWithHeaders>,
  ...codes: ProblemCode[]
): unknown {
  const bodies = Object.entries(own).map(([status, answer]) => [
    status,
    'body' in answer
      ? documented(Number(status), answer.body, answer.headers)
      : documented(Number(status), answer),
  ])
  const problems = Map.groupBy(codes, (code) => statuses[code])
  return Object.fromEntries([
    ...bodies,
    ...[...problems].map(([status, ofStatus]) => [
      status,
      documented(status, problemBody(status, ofStatus)),
    ]),
  ])
}

/** Problems as the body of an answer of this status. */
export function problemBody(status: number, codes: readonly ProblemCode[]): object {
  const examples = codes.map((code) => [code, { value: exampleProblem(code, status) }])
  const content = {
    [PROBLEM_TYPE]: { schema: reference('Problem'), examples: Object.fromEntries(examples) },
  }
  return { content }
}

function documented(status: number, body: object, names: readonly AnswerHeader[] = []): object {
  const description = STATUS_CODES[status]
  const headers = headersOf(status, names)
  // Type.Null(): an answer without a body.
  if ('type' in body && body.type === 'null') return { description, ...body, headers }
  if ('content' in body) return { description, ...body, headers }
  return { description, headers, content: { 'application/json': { schema: body } } }
}

function headersOf(status: number, names: readonly AnswerHeader[]): object {
  const always: AnswerHeader[] = status === 503 ? ['X-Request-Id', 'Retry-After'] : ['X-Request-Id']
  return Object.fromEntries([...names, ...always].map((name) => [name, answerHeaders[name]]))
}
