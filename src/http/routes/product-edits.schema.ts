// Changes of products, as they are sent. Fields have the rules that they have on creation.

import { Type } from 'typebox'
import { EXAMPLE_PRODUCT_ID, exampleNewProduct } from './examples.ts'
import { newProductSchema, prefer } from './products.schema.ts'

const { product_name, product_description, product_price, product_images } =
  newProductSchema.properties

const { user_id: _, ...exampleReplacement } = exampleNewProduct

const pictureList = {
  description: 'The new list, in order. A URL that stays keeps its picture and results.',
}

export const replacementSchema = Type.Object(
  {
    product_name,
    product_description: Type.Optional({
      ...product_description,
      description: 'Empty without it.',
    }),
    product_price,
    product_images: Type.Optional({
      ...product_images,
      description: `${pictureList.description} Without it the pictures stay as they are.`,
    }),
  },
  { examples: [exampleReplacement] },
)

/** For clients that keep the id in the product. */
export const replacementWithIdSchema = Type.Object(
  {
    id: Type.String({ description: 'Which product is replaced.' }),
    ...replacementSchema.properties,
  },
  { examples: [{ id: EXAMPLE_PRODUCT_ID, ...exampleReplacement }] },
)

export const patchSchema = Type.Object(
  {
    product_name: Type.Optional(product_name),
    product_description: Type.Optional(
      Type.Unsafe<string | null>({
        ...product_description,
        type: ['string', 'null'],
        description: '`null` empties it.',
      }),
    ),
    product_price: Type.Optional(product_price),
    product_images: Type.Optional(
      Type.Unsafe<string[] | null>({
        ...product_images,
        type: ['array', 'null'],
        description: `${pictureList.description} \`null\` takes all pictures away.`,
      }),
    ),
  },
  { examples: [{ product_price: 89.5, product_description: null }] },
)

export const conditionHeaders = Type.Object({
  'If-Match': Type.Optional(
    Type.String({
      description:
        'Entity tags of the product as it was read, or `*`: the change is refused when a client has changed the product since. What the processing of pictures changed does not count.',
    }),
  ),
})

export const editHeaders = Type.Object({ ...conditionHeaders.properties, Prefer: prefer })
