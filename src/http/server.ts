// The HTTP server: requests in, answers or problems out. It knows the use cases as ports and nothing
// of what is behind them.

import { setTimeout as delay } from 'node:timers/promises'
import Fastify, {
  type FastifyHttpOptions,
  type FastifyReply,
  type FastifyRequest,
  type RawServerDefault,
} from 'fastify'
import type { EventFeed } from '../events/feed.ts'
import type { Images } from '../images/image.ts'
import type { Health } from '../observability/health.ts'
import type { Logger } from '../observability/logger.ts'
import type { Products } from '../products/product.ts'
import type { ProductLists } from '../products/product-list.ts'
import type { ProductSnapshots } from '../products/product-snapshots.ts'
import type { Storage } from '../storage/storage.ts'
import type { App } from './app.ts'
import { createClosing } from './closing.ts'
import { compressAnswers } from './compression.ts'
import { type AllowOrigin, createAllowOrigin } from './cors.ts'
import { createErrorHandler } from './error-handler.ts'
import { defaultStreamLimits, type StreamLimits } from './event-stream.ts'
import { acceptJsonBodies, BODY_LIMIT } from './json-body.ts'
import { answerUnrouted, createMethodTable, type MethodTable, notFound } from './methods.ts'
import { registerOpenapi } from './openapi.ts'
import { createPictureWait } from './picture-wait.ts'
import { sendProblem } from './problem.ts'
import { parseQuery } from './query.ts'
import { requestIdOf } from './request-id.ts'
import { logRequest } from './request-log.ts'
import { refusalOf } from './request-refusal.ts'
import { toRoutePath } from './route-path.ts'
import { registerEventRoutes } from './routes/events.ts'
import { registerHealthRoutes } from './routes/health.ts'
import { registerImageRoutes } from './routes/images.ts'
import { registerMediaRoutes } from './routes/media.ts'
import { registerProblemRoutes } from './routes/problems.ts'
import { registerProductEditRoutes } from './routes/product-edits.ts'
import { registerProductListRoute } from './routes/product-list.ts'
import { registerProductRoutes } from './routes/products.ts'
import { createSocketErrors, type SocketErrors } from './socket-errors.ts'
import { createResponseClass } from './stopping-response.ts'
import { createValidatorCompiler } from './validation.ts'

/** Milliseconds a client may take. */
export interface ServerTimeouts {
  headersMs: number
  /** Headers and body. */
  requestMs: number
  /** A connection on which nothing moves, in either direction. */
  idleMs: number
  /** A connection between two requests. */
  keepAliveMs: number
  /** How often the first two are looked at. */
  checkMs: number
}

export interface ServerOptions {
  products: Products & ProductLists
  images: Images
  feed: EventFeed
  snapshots: ProductSnapshots
  storage: Storage
  health: Health
  log: Logger
  /** The address that clients use. Its path, where it has one, is taken off before a request comes here. */
  publicUrl?: string
  /** Whose pages may read the answers; `*` for all. None without it. */
  corsOrigins?: readonly string[]
  timeouts?: Partial<ServerTimeouts>
  streams?: Partial<StreamLimits>
  /** How long it goes on taking connections once it is not ready any more: until who sends them has noticed. */
  drainMs?: number
}

/**
 * 1 MiB in 30 s is 280 kbit/s. Nothing takes the server longer than `idleMs` to answer. Load balancers
 * keep connections for 60 s: one that we close first costs them a request.
 */
const defaultTimeouts: ServerTimeouts = {
  headersMs: 15_000,
  requestMs: 30_000,
  idleMs: 120_000,
  keepAliveMs: 72_000,
  checkMs: 5_000,
}

/**
 * A server that does not listen yet. `close()` says that it is not ready, after `drainMs` takes no new
 * connections, finishes what runs and resolves after the last answer.
 */
export function createServer(options: ServerOptions): App {
  const app = createApp(options)
  registerOpenapi(app)
  app.register(async (scope: App) => registerRoutes(scope, options))
  app.register(async (scope: App) => {
    await compressAnswers(scope)
    registerProductListRoute(scope, options.products)
  })
  return app
}

/** The same for a process without an API: it answers probes, and nothing else. */
export function createHealthServer(options: Pick<ServerOptions, 'health' | 'log'>): App {
  const app = createApp(options)
  app.register(async (scope: App) => registerHealthRoutes(scope, options.health))
  return app
}

type AppOptions = Pick<
  ServerOptions,
  'health' | 'log' | 'timeouts' | 'publicUrl' | 'corsOrigins' | 'drainMs'
>

/** A server without routes. */
function createApp(options: AppOptions): App {
  const { health, log } = options
  const table = createMethodTable()
  const allowOrigin = createAllowOrigin(options.corsOrigins ?? [], table)
  const timeouts: ServerTimeouts = { ...defaultTimeouts, ...options.timeouts }
  const publicPath = publicPathOf(options)
  const socketErrors = createSocketErrors({ log, table, publicPath, answersMs: timeouts.idleMs })
  const app: App = Fastify(fastifyOptions({ ...options, timeouts }, allowOrigin, socketErrors))
  app.decorate('isStopping', () => health.isStopping())
  app.decorate('publicPath', publicPath)
  app.decorateRequest('traceparent', '')
  acceptJsonBodies(app)
  app.setValidatorCompiler(createValidatorCompiler())
  // Schemas of answers are documentation: what a use case returns is sent as it is.
  app.setSerializerCompiler(() => JSON.stringify)
  app.setErrorHandler(createErrorHandler(log))
  // For a route that finds nothing: requests without a route are answered before.
  app.setNotFoundHandler(() => {
    throw notFound()
  })
  app.addHook('onRoute', ({ method, url }) => table.add(method, url))
  if (allowOrigin) {
    app.addHook('onRequest', (request, reply, done) => {
      allowOrigin(request, reply)
      done()
    })
  }
  addRequestHooks(app, options, table)
  endAfterDrain(app, options, createClosing(app.server, socketErrors))
  app.server.on('connect', socketErrors.onConnect)
  // Comes instead of the request when it expects what Node does not know; refused where all are.
  app.server.on('checkExpectation', (...exchange) => app.server.emit('request', ...exchange))
  return app
}

/** Begins with one slash: a reference with two would lead to another host. */
function publicPathOf({ publicUrl }: AppOptions): string {
  if (publicUrl === undefined) return ''
  return new URL(publicUrl).pathname.replace(/\/+$/, '').replace(/^\/+/, '/')
}

function registerRoutes(app: App, options: ServerOptions): void {
  const { products, images, feed, snapshots, storage, health, log } = options
  const waitForPictures = createPictureWait(app, products)
  registerProductRoutes(app, { products, images, waitForPictures })
  registerProductEditRoutes(app, { products, waitForPictures })
  registerImageRoutes(app, images)
  const limits = { ...defaultStreamLimits, ...options.streams }
  registerEventRoutes(app, { feed, snapshots, limits, log })
  registerMediaRoutes(app, { storage, log })
  registerHealthRoutes(app, health)
  registerProblemRoutes(app)
}

function addRequestHooks(app: App, options: AppOptions, table: MethodTable): void {
  const { log } = options
  app.addHook('onRequest', (request, reply, done) => {
    setCommonHeaders(request, reply)
    const refusal = refusalOf(request)
    if (refusal) sendProblem(reply, refusal.error, refusal.status)
    else if (!request.is404) done()
    else {
      const error = answerUnrouted(table, request, reply)
      if (error) done(error)
    }
  })
  // Listening for the end of each answer costs a tenth of a cached read: not for lines nobody wants.
  if (!log.isLevelEnabled('info')) return
  app.addHook('onResponse', (request, reply, done) => {
    logRequest(log, request, reply)
    done()
  })
}

function endAfterDrain(app: App, { health, drainMs = 0 }: AppOptions, letGo: () => void): void {
  // The first of its kind: what waits for a long time is ended only after the last has come.
  app.addHook('preClose', async () => {
    health.setStopping()
    if (app.server.listening) await delay(drainMs)
    letGo()
  })
}

function setCommonHeaders(request: FastifyRequest, reply: FastifyReply): void {
  reply.header('x-request-id', request.id)
  reply.header('x-content-type-options', 'nosniff')
}

function fastifyOptions(
  { log, health, timeouts }: AppOptions & { timeouts: ServerTimeouts },
  allowOrigin: AllowOrigin | undefined,
  socketErrors: SocketErrors,
): FastifyHttpOptions<RawServerDefault> {
  const { headersMs, requestMs, idleMs, keepAliveMs, checkMs } = timeouts
  const handleError = createErrorHandler(log)
  return {
    // One line per request of our own instead of the framework's two.
    logger: false,
    trustProxy: false,
    genReqId: requestIdOf,
    requestIdHeader: false,
    bodyLimit: BODY_LIMIT,
    rewriteUrl: ({ url }) => toRoutePath(url ?? '/'),
    // Ids of any length name nothing; the parser bounds the address by the size of the headers.
    routerOptions: {
      maxParamLength: 16_384,
      querystringParser: parseQuery,
      ignoreTrailingSlash: true,
    },
    requestTimeout: requestMs,
    connectionTimeout: idleMs,
    keepAliveTimeout: keepAliveMs,
    http: {
      headersTimeout: headersMs,
      connectionsCheckingInterval: checkMs,
      maxHeaderSize: 16_384,
      requireHostHeader: false,
      ServerResponse: createResponseClass(() => health.isStopping()),
    },
    // While stopping, connections that are still open get real answers, and `Connection: close`.
    return503OnClosing: false,
    clientErrorHandler: socketErrors.onClientError,
    // Comes instead of the hooks: what these say of any answer is said here too.
    frameworkErrors: (error, request, reply) => {
      setCommonHeaders(request, reply)
      allowOrigin?.(request, reply)
      handleError(error, request, reply)
      logRequest(log, request, reply)
    },
  }
}
