// What renditions are made: rows of data, the default one fixed by the product's contract.

import { createHash } from 'node:crypto'
import { PUBLISHED_PRESET } from '../images/image.ts'

export interface Preset {
  name: string
  format: 'jpeg'
  /** The box to fit in, pixels; pictures are never enlarged. */
  width: number
  height: number
  /** JPEG quality 1–100. */
  quality: number
}

export const presets: readonly Preset[] = [
  { name: PUBLISHED_PRESET, format: 'jpeg', width: 800, height: 600, quality: 75 },
]

/** Raised when the same preset comes to mean other pixels (another resampling, another encoder). */
const RENDERING_REVISION = 1

/** Names what a preset makes of a source: equal recipes make equal files. */
export function recipeOf(preset: Preset): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([RENDERING_REVISION, preset]))
    .digest('hex')
  return `${preset.name}-${hash.slice(0, 8)}`
}
