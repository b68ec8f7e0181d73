// What probes and operators get.

import { Type } from 'typebox'
import { reference } from './problems.schema.ts'

export const checkSchema = Type.Object(
  {
    status: Type.Enum(['healthy', 'unhealthy']),
    latency_ms: Type.Number(),
    checked_at: Type.String({ format: 'date-time' }),
    error: Type.Optional(Type.String()),
    details: Type.Optional(
      Type.Record(Type.String(), Type.Number(), { description: 'Figures that say how well.' }),
    ),
  },
  { $id: 'Check' },
)

export const reportSchema = Type.Object(
  {
    status: Type.Enum(['healthy', 'degraded', 'unhealthy', 'stopping'], {
      description:
        '`unhealthy`: requests fail. `degraded`: something behind them does. `stopping`: the process ends, and looks at nothing any more.',
    }),
    checks: Type.Record(Type.String(), reference('Check')),
  },
  { $id: 'Health' },
)

export const check = reference('Check')
export const report = reference('Health')
export const livenessSchema = Type.Object({ status: Type.Literal('alive') })

export const readinessSchema = Type.Object({
  status: Type.Enum(['ready', 'not_ready', 'stopping']),
  failing: Type.Array(Type.String(), { description: 'The dependencies that do not answer.' }),
  checks: Type.Record(Type.String(), check, { description: 'Each dependency.' }),
})

export const dependencyParams = Type.Object({
  dependency: Type.String({ examples: ['database'] }),
})
