// What a schema cannot say about a new product: text that PostgreSQL cannot hold, prices with a third
// decimal, URLs that lead inside. Everything at fault is reported at once.

import { AppError, type FieldError } from '../errors.ts'
import { hasGrowingWord } from './growing-words.ts'
import type { NewProduct, ProductPatch } from './product.ts'

/** numeric(12,2). */
export const MAX_PRICE = 9_999_999_999.99
export const MAX_PICTURES = 20

/** Why a URL may not be fetched, as far as that can be told without the network. */
export type CheckUrl = (url: string) => { rule: string; detail: string } | undefined

/** The fields that a client may set, as they are stored; of a patch, those that it names. */
export interface CheckedFields {
  name: string
  description: string
  /** Decimal text. */
  price: string
  sourceUrls: string[]
}

export interface CheckedProduct extends CheckedFields {
  userId: string
}

/** Throws `invalid_input` with every field at fault. */
export function checkProduct(input: NewProduct, checkUrl: CheckUrl): CheckedProduct {
  refuse([...checkUserId(input.user_id), ...checkFields(input, checkUrl)])
  const { product_description: description = '', product_images: sourceUrls = [] } = input
  return {
    userId: String(input.user_id),
    name: input.product_name,
    description,
    price: String(input.product_price),
    sourceUrls: [...sourceUrls],
  }
}

/** Only what the patch names; null is the field's default. Throws `invalid_input` with every field at fault. */
export function checkPatch(input: ProductPatch, checkUrl: CheckUrl): Partial<CheckedFields> {
  refuse(checkFields(input, checkUrl))
  const { product_name, product_description, product_price, product_images } = input
  return {
    ...(product_name === undefined ? {} : { name: product_name }),
    ...(product_description === undefined ? {} : { description: product_description ?? '' }),
    ...(product_price === undefined ? {} : { price: String(product_price) }),
    ...(product_images === undefined ? {} : { sourceUrls: [...(product_images ?? [])] }),
  }
}

function refuse(errors: readonly FieldError[]): void {
  const [first] = errors
  if (!first) return
  throw new AppError('invalid_input', `${first.pointer.slice(1)} ${first.detail}`, { errors })
}

function checkFields(input: ProductPatch, checkUrl: CheckUrl): FieldError[] {
  const { product_name, product_description, product_price, product_images } = input
  return [
    ...checkText('/product_name', product_name ?? ''),
    ...checkSearchedText('/product_description', product_description ?? ''),
    ...checkPrice(product_price ?? 0),
    ...(product_images ?? []).flatMap((url, index) =>
      checkSource(`/product_images/${index}`, url, checkUrl),
    ),
  ]
}

function checkUserId(userId: string | number): FieldError[] {
  if (typeof userId === 'string') return checkText('/user_id', userId)
  if (Number.isSafeInteger(userId)) return []
  return [{ pointer: '/user_id', code: 'type', detail: 'must be a string or a safe integer' }]
}

/** PostgreSQL text holds neither NUL nor half of a surrogate pair. */
function checkText(pointer: string, text: string): FieldError[] {
  if (text.includes('\0')) {
    return [{ pointer, code: 'text', detail: 'must not contain the NUL character' }]
  }
  if (!text.isWellFormed()) {
    return [
      { pointer, code: 'text', detail: 'must be well-formed Unicode (it has a lone surrogate)' },
    ]
  }
  return []
}

/** A name is too short to hold such a word. */
function checkSearchedText(pointer: string, text: string): FieldError[] {
  const errors = checkText(pointer, text)
  if (errors.length > 0 || !hasGrowingWord(text)) return errors
  return [{ pointer, code: 'text', detail: 'must not hold a word that is too long in lower case' }]
}

function checkPrice(price: number): FieldError[] {
  const pointer = '/product_price'
  if (!(price >= 0)) return [{ pointer, code: 'minimum', detail: 'must be >= 0' }]
  if (price > MAX_PRICE) return [{ pointer, code: 'maximum', detail: `must be <= ${MAX_PRICE}` }]
  // The shortest decimal that reads back as this number is what the client wrote; 19.99 * 100 is not whole.
  if (/^\d+(\.\d{1,2})?$/.test(String(price))) return []
  return [{ pointer, code: 'multipleOf', detail: 'must have at most two decimals' }]
}

function checkSource(pointer: string, url: string, checkUrl: CheckUrl): FieldError[] {
  const text = checkText(pointer, url)
  if (text.length > 0) return text
  const refusal = checkUrl(url)
  return refusal ? [{ pointer, code: refusal.rule, detail: refusal.detail }] : []
}
