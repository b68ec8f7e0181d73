// Lists of products: what may be asked for, in which orders, and what a place in one is made of.

import type { ProcessingStatus, ProductDocument } from './product.ts'

/** `-` is descending; ties are broken by id in the same direction. `relevance` is the best match first. */
export const productSorts = [
  '-created_at',
  'created_at',
  'product_price',
  '-product_price',
  'product_name',
  '-product_name',
  'relevance',
] as const
export type ProductSort = (typeof productSorts)[number]

/** Every condition that is given must hold. */
export interface ProductFilter {
  userId?: string
  /** Decimals as text, inclusive. */
  minPrice?: string
  maxPrice?: string
  /** Part of the name, any case; `%` and `_` are plain characters. If shorter than `SHORTEST_NAME_SEARCH`, all of the user's products are read. */
  nameContains?: string
  /** As people type it into a search box: any text is a search. What holds no word finds nothing. */
  words?: string
  status?: ProcessingStatus
}

/** Characters. A trigram index finds three and more; for fewer it would read all of itself. */
export const SHORTEST_NAME_SEARCH = 3

/** Characters, in code units: what follows in a search for words does not count. */
export const LONGEST_SEARCH = 1_000

export type ValueKind = 'timestamp' | 'decimal' | 'name' | 'rank' | 'id'

/**
 * What the place of a row in a list is made of. For `relevance` the last two are the newest match of
 * the first page: matches that came later stay out, so that they move nothing.
 */
export const positionKinds: Readonly<Record<ProductSort, readonly ValueKind[]>> = {
  '-created_at': ['timestamp', 'id'],
  created_at: ['timestamp', 'id'],
  product_price: ['decimal', 'id'],
  '-product_price': ['decimal', 'id'],
  product_name: ['name', 'id'],
  '-product_name': ['name', 'id'],
  relevance: ['rank', 'timestamp', 'id', 'timestamp', 'id'],
}

/** The values that `positionKinds` names, as text at full precision. */
export type ProductPosition = readonly string[]

export interface ProductListQuery {
  filter: ProductFilter
  /** `relevance` needs `filter.words`. */
  sort: ProductSort
  /** Rows at most. */
  limit: number
  /** Where the page before ended. */
  after?: ProductPosition
  /** Whether to count what the filter selects. */
  withTotal: boolean
}

/** Nobody pages through more; counting on would read all of them. */
export const MAX_TOTAL = 10_000

export interface ProductPage {
  data: ProductDocument[]
  /** Where the next page starts after; undefined on the last one. */
  next: ProductPosition | undefined
  /** Set when asked for. `isMinimum`: there are more than `MAX_TOTAL`. */
  total: { count: number; isMinimum: boolean } | undefined
}

export interface ProductLists {
  /**
   * One page, read in one statement. Paging on neither repeats nor skips a row that was there all
   * along; by `relevance`, among the newest 10,000 matches, which are all that are ranked.
   */
  list(query: ProductListQuery): Promise<ProductPage>
}
