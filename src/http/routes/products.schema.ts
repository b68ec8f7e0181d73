// Products, as they are sent and shown. Types and lengths are checked here; what a schema cannot say
// is the catalogue's to check.

import { Type } from 'typebox'
import { type ProductDocument, processingStatuses } from '../../products/product.ts'
import { MAX_PICTURES, MAX_PRICE } from '../../products/product-input.ts'
import { MAX_WAIT_SECONDS } from '../prefer.ts'
import { exampleNewProduct, exampleProduct } from './examples.ts'
import { image, timestamp } from './images.schema.ts'
import { reference } from './problems.schema.ts'

export const MAX_NAME = 200
const MAX_DESCRIPTION = 10_000
const MAX_URL = 2_048
export const MAX_USER_ID = 128

/** PostgreSQL's text has no NUL. Published here, checked by the catalogue, whose words for it are better. */
export const withoutNul = { not: { type: 'string', pattern: '\\u0000' } }

const notBlank = { pattern: '\\S', 'x-expected': 'more than white space', ...withoutNul }

export const newProductSchema = Type.Object(
  {
    user_id: Type.Unsafe<string | number>({
      type: ['string', 'integer'],
      minLength: 1,
      maxLength: MAX_USER_ID,
      ...notBlank,
      minimum: 0,
      // Beyond it two different numbers would be the same user.
      maximum: Number.MAX_SAFE_INTEGER,
      description:
        'Whose product it is; a user that is not known yet is created. Not only of white space. Always shown as a string.',
      examples: ['1234-5678-9012', 1],
    }),
    product_name: Type.String({
      minLength: 1,
      maxLength: MAX_NAME,
      ...notBlank,
      description: 'Not only of white space.',
      examples: ['Sample Product'],
    }),
    product_description: Type.Optional(
      Type.String({
        maxLength: MAX_DESCRIPTION,
        ...withoutNul,
        description:
          'No word of 2,048 bytes or more, counted in lower case, that has fewer as it is written.',
        examples: ['A test product.'],
      }),
    ),
    product_price: Type.Number({
      minimum: 0,
      maximum: MAX_PRICE,
      multipleOf: 0.01,
      description: 'At most two decimals.',
      examples: [19.99],
    }),
    product_images: Type.Optional(
      Type.Array(
        Type.String({
          minLength: 1,
          maxLength: MAX_URL,
          format: 'uri',
          description: 'http or https, to a public address.',
        }),
        { maxItems: MAX_PICTURES, examples: [['https://example.com/image1.jpg']] },
      ),
    ),
  },
  { examples: [exampleNewProduct] },
)

export const prefer = Type.Optional(
  Type.String({
    description: `\`wait=N\` answers once all pictures are settled, or after N seconds (${MAX_WAIT_SECONDS} at most); \`Preference-Applied\` says that it was done. What is not understood is ignored.`,
    examples: ['wait=10'],
  }),
)

export const creationHeaders = Type.Object({
  'Idempotency-Key': Type.Optional(
    Type.String({
      pattern: '^[!-~]{1,255}$',
      'x-expected': '1 to 255 visible ASCII characters',
      description:
        'A request that is sent again with its key creates nothing: it answers the product of the first one, as it is now, with `Idempotency-Replayed: true`. Keys are remembered for 24 hours, if not configured otherwise.',
      examples: ['8e03978e-40d5-43dd-bc93-6894a57f9324'],
    }),
  ),
  Prefer: prefer,
})

export const productSchema = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    user_id: Type.String(),
    product_name: Type.String(),
    product_description: Type.String(),
    product_price: Type.Number({ minimum: 0 }),
    product_images: Type.Array(Type.String(), { description: 'The sources, in order.' }),
    compressed_product_images: Type.Array(Type.String({ format: 'uri-reference' }), {
      description: 'The `default` renditions that are ready, in picture order.',
    }),
    processing_status: Type.Enum([...processingStatuses], {
      description:
        '`completed`: all ready, or no pictures. `processing`: some not settled. `partial`: settled, some failed. `failed`: all failed.',
    }),
    images: Type.Array(image),
    version: Type.Integer({ minimum: 1, description: 'One more on each change.' }),
    created_at: timestamp,
    updated_at: timestamp,
  },
  { $id: 'Product', examples: [exampleProduct] },
)

export const productParams = Type.Object({ id: Type.String() })
export const product = reference<ProductDocument>('Product')
