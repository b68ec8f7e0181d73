// Lines of a file as products: judged as the body of `POST /products` is, by the same rules.

import { AppError, isAppError } from '../errors.ts'
import { BODY_LIMIT, parseJson } from '../http/json-body.ts'
import { newProductSchema } from '../http/routes/products.schema.ts'
import { createBodyValidator } from '../http/validation.ts'
import { type Line, splitLines } from '../lib/lines.ts'
import type { NewProduct } from '../products/product.ts'
import type { ImportLine } from '../products/product-import.ts'
import { type CheckedProduct, type CheckUrl, checkProduct } from '../products/product-input.ts'
import { usageError } from './command.ts'

export interface ProductLinesOptions {
  checkUrl: CheckUrl
  /** Lines before this one are passed over unread. */
  fromLine: number
}

/**
 * One for each line that is not empty; what is no product is why. Throws a usage error when the input ends before the
 * lines to pass over do; right after them is where an import goes on that had reached the end.
 */
export async function* readProductLines(
  chunks: AsyncIterable<Uint8Array>,
  { checkUrl, fromLine }: ProductLinesOptions,
): AsyncGenerator<ImportLine> {
  const read = createLineReader(checkUrl)
  let lines = 0
  for await (const line of splitLines(chunks, { maxBytes: BODY_LIMIT })) {
    lines = line.number
    if (line.number < fromLine || isBlank(line)) continue
    yield { number: line.number, end: line.end, product: read(line) }
  }
  if (lines < fromLine - 1) {
    throw usageError(
      `--from-line ${fromLine} is beyond the end: the input has ${lines} lines`,
      'products import',
    )
  }
}

function createLineReader(checkUrl: CheckUrl): (line: Line) => CheckedProduct | AppError {
  const validate = createBodyValidator(newProductSchema)
  return ({ bytes }) => {
    if (!bytes) return new AppError('too_large', `The line has more than ${BODY_LIMIT} bytes.`)
    try {
      const body = parseJson(bytes, 'The line')
      const outcome = validate(body)
      if ('error' in outcome) return outcome.error
      return checkProduct(body as NewProduct, checkUrl)
    } catch (error) {
      if (isAppError(error)) return error
      throw error
    }
  }
}

/** Blanks and the return of CR LF included: they are no products, and no mistakes. */
function isBlank({ bytes }: Line): boolean {
  return bytes?.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d) === true
}
