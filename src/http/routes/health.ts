// Probes: is the process alive, should it get requests, and how is what it depends on?

import type { FastifyReply } from 'fastify'
import type { Health } from '../../observability/health.ts'
import type { App } from '../app.ts'
import { notFound } from '../methods.ts'
import {
  check,
  dependencyParams,
  livenessSchema,
  readinessSchema,
  report,
} from './health.schema.ts'
import { answers } from './problems.schema.ts'

/** Seconds; what a probe's interval usually is. */
const RETRY_AFTER = '5'

export function registerHealthRoutes(app: App, health: Health): void {
  const config = { quiet: true }
  const tags = ['service']
  const answerCheck = async (name: string, reply: FastifyReply) => {
    const result = await health.check(name)
    if (!result) throw notFound()
    return answer(reply, result.status === 'healthy', result)
  }

  app.get(
    '/livez',
    {
      config,
      schema: {
        tags,
        operationId: 'checkLiveness',
        summary: 'The process runs',
        response: answers({ 200: livenessSchema }),
      },
    },
    (_request, reply) => answer(reply, true, { status: 'alive' }),
  )

  app.get(
    '/readyz',
    {
      config,
      schema: {
        tags,
        operationId: 'checkReadiness',
        summary: 'Every dependency answers: for roll-outs and monitoring',
        description:
          'Not for load balancers: a broker or a cache that is away makes every process unready, and none useless. They ask `/health`.',
        response: answers({ 200: readinessSchema, 503: readinessSchema }),
      },
    },
    async (_request, reply) => {
      const { status, checks } = await health.report()
      const failing = Object.keys(checks).filter((name) => checks[name]?.status === 'unhealthy')
      if (status === 'stopping') return answer(reply, false, { status, failing, checks })
      const ready = failing.length === 0
      return answer(reply, ready, { status: ready ? 'ready' : 'not_ready', failing, checks })
    },
  )

  app.get(
    '/health',
    {
      config,
      schema: {
        tags,
        operationId: 'getHealth',
        summary: 'Requests are answered: for load balancers',
        description:
          'Tells of each dependency; 503 while the database is away, without which requests fail, and from the moment the process is told to stop.',
        response: answers({ 200: report, 503: report }),
      },
    },
    async (_request, reply) => {
      const state = await health.report()
      return answer(reply, state.status === 'healthy' || state.status === 'degraded', state)
    },
  )

  app.get(
    '/health/:dependency',
    {
      config,
      schema: {
        tags,
        operationId: 'getDependencyHealth',
        summary: 'One dependency',
        params: dependencyParams,
        response: answers({ 200: check, 503: check }, 'not_found'),
      },
    },
    async (request, reply) => {
      return await answerCheck(request.params.dependency, reply)
    },
  )

  app.get(
    '/redis-health',
    {
      config,
      schema: {
        tags,
        operationId: 'getCacheHealth',
        summary: 'The cache, by the name that monitoring knows from earlier services',
        response: answers({ 200: check, 503: check }, 'not_found'),
      },
    },
    async (_request, reply) => await answerCheck('cache', reply),
  )
}

function answer(reply: FastifyReply, well: boolean, body: object): FastifyReply {
  reply.code(well ? 200 : 503).header('cache-control', 'no-store')
  if (!well) reply.header('retry-after', RETRY_AFTER)
  return reply.send(body)
}
