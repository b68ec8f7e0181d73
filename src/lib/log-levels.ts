// How much is logged, and of what.

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** The parts of the program that can be given a level of their own: folders of src/. */
export const logAreas = [
  'app',
  'cache',
  'database',
  'events',
  'http',
  'jobs',
  'pipeline',
  'products',
  'queue',
  'storage',
] as const
export type LogArea = (typeof logAreas)[number]
