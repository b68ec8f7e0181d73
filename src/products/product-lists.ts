// Pages of the catalogue.

import type { Db } from '../database/database.ts'
import type { Presenter } from './product-document.ts'
import {
  MAX_TOTAL,
  type ProductLists,
  type ProductPosition,
  type ProductSort,
} from './product-list.ts'
import { type ListedProduct, selectProducts } from './product-list-store.ts'

export function createProductLists(db: Db, present: Presenter['document']): ProductLists {
  return {
    list: async (query) => {
      // One row more than asked for tells whether there is a next page.
      const { products, total } = await selectProducts(db, { ...query, limit: query.limit + 1 })
      const page = products.slice(0, query.limit)
      const last = products.length > query.limit ? page.at(-1) : undefined
      return {
        data: page.map(present),
        next: last && positionOf(last, query.sort),
        total: total === undefined ? undefined : bounded(total),
      }
    },
  }
}

function positionOf(row: ListedProduct, sort: ProductSort): ProductPosition {
  switch (sort) {
    case '-created_at':
    case 'created_at':
      return [row.created_at, row.id]
    case 'product_price':
    case '-product_price':
      return [row.product_price, row.id]
    case 'product_name':
    case '-product_name':
      return [row.product_name, row.id]
    case 'relevance':
      return [String(row.rank), row.created_at, row.id, row.newest_created_at, row.newest_id]
  }
}

function bounded(count: number) {
  return { count: Math.min(count, MAX_TOTAL), isMinimum: count > MAX_TOTAL }
}
