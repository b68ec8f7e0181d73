-- Idempotent creation, full-text search, every sort order, the epoch of the event log, and the sweep of
-- stored files.

-- A repeat of a request with the same key finds the product that the first one made. No foreign key:
-- a product that was deleted since is answered as such, not made again.
CREATE TABLE idempotency_keys (
  principal   text NOT NULL,
  key         text NOT NULL CHECK (char_length(key) BETWEEN 1 AND 255),
  fingerprint text NOT NULL,
  product_id  uuid NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (principal, key)
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);

-- Stemmed words and words as they are, the name above the description. Stored: sorting a common word
-- by relevance from an expression index took 9.7 s at 600,000 rows, from a stored vector 131 ms.
ALTER TABLE products ADD COLUMN search tsvector GENERATED ALWAYS AS (
  setweight(to_tsvector('english', product_name) || to_tsvector('simple', product_name), 'A') ||
  setweight(to_tsvector('english', product_description) || to_tsvector('simple', product_description), 'B')
) STORED;
CREATE INDEX products_search ON products USING gin (search);

-- Parts of names by trigrams. pg_trgm leaves out what is neither letter nor digit, so that a search for
-- `___` or `50%` would have none and read everything: a letter stands in for each such character.
DROP INDEX products_name_trigrams;
CREATE INDEX products_name_trigrams ON products
  USING gin (regexp_replace(product_name, '[^[:alnum:]]', 'x', 'g') gin_trgm_ops);

-- Bytewise, so that names sort alike on every engine.
CREATE INDEX products_name ON products ((product_name COLLATE "C"), id);
CREATE INDEX products_name_of_user ON products (user_id, (product_name COLLATE "C"), id);
CREATE INDEX products_price_of_user ON products (user_id, product_price, id);

-- Derived from the pictures, kept by every statement that adds, moves or removes one, under the
-- product's lock. Derived when asked, a few failed among millions were found by looking at all.
ALTER TABLE products ADD COLUMN processing_status text NOT NULL DEFAULT 'completed'
  CHECK (processing_status IN ('completed', 'processing', 'partial', 'failed'));
UPDATE products SET processing_status = now.status
FROM (
  SELECT product_id, CASE
    WHEN bool_or(status NOT IN ('ready', 'failed')) THEN 'processing'
    WHEN bool_and(status = 'failed') THEN 'failed'
    ELSE 'partial' END AS status
  FROM images GROUP BY product_id HAVING bool_or(status <> 'ready')) AS now
WHERE products.id = now.product_id;
CREATE INDEX products_status ON products (processing_status, created_at DESC, id DESC);
CREATE INDEX products_status_of_user ON products (user_id, processing_status, created_at DESC, id DESC);

-- The event log as a whole. Its ids mean something within one epoch only: a log that was restored or
-- copied starts another, which shows in its origin.
CREATE TABLE event_log (
  id             integer PRIMARY KEY CHECK (id = 1),
  epoch          text NOT NULL CHECK (epoch ~ '^[0-9a-f]{8}$'),
  -- The server, database and table that the epoch was given to.
  origin         text NOT NULL,
  -- Events up to this one were removed for their age.
  purged_through bigint NOT NULL DEFAULT 0
);
INSERT INTO event_log (id, epoch, origin) VALUES (1, left(gen_random_uuid()::text, 8), '');

-- The sweep walks over all objects by id and asks for those that are going; which key has a row is
-- asked by the deep one. By age nobody asks, and an index of it would make every touch write to it.
DROP INDEX objects_touched;
CREATE INDEX objects_going ON objects (id) WHERE state = 'going';
CREATE INDEX objects_key ON objects USING hash (key);

-- One row: of all workers, the one that moves the time forward does the sweep that is due.
CREATE TABLE object_sweep (
  id      integer PRIMARY KEY CHECK (id = 1),
  next_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO object_sweep (id) VALUES (1);
