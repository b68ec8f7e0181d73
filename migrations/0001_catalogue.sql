-- The catalogue, the ledger and the event log.
-- Runs on PostgreSQL 14+ and on PGlite. Every time is the database's clock.

CREATE EXTENSION IF NOT EXISTS pg_trgm;

CREATE TABLE users (
  id         text PRIMARY KEY CHECK (char_length(id) BETWEEN 1 AND 128),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE products (
  id                        uuid PRIMARY KEY,
  user_id                   text NOT NULL REFERENCES users (id),
  product_name              text NOT NULL CHECK (char_length(product_name) BETWEEN 1 AND 200),
  product_description       text NOT NULL DEFAULT '' CHECK (char_length(product_description) <= 10000),
  product_price             numeric(12, 2) NOT NULL CHECK (product_price >= 0),
  -- URL references of the ready `default` renditions in picture order: rebuilt from `renditions`
  -- by every change of a picture, under this row's lock.
  compressed_product_images text[] NOT NULL DEFAULT '{}',
  version                   bigint NOT NULL DEFAULT 1 CHECK (version >= 1),
  edit                      bigint NOT NULL DEFAULT 1 CHECK (edit BETWEEN 1 AND version),
  created_at                timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at                timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX products_newest ON products (created_at DESC, id DESC);
CREATE INDEX products_newest_of_user ON products (user_id, created_at DESC, id DESC);
CREATE INDEX products_price ON products (product_price, id);
CREATE INDEX products_name_trigrams ON products USING gin (product_name gin_trgm_ops);

CREATE TABLE images (
  id              uuid PRIMARY KEY,
  product_id      uuid NOT NULL REFERENCES products (id) ON DELETE CASCADE,
  position        integer NOT NULL CHECK (position >= 0),
  source_url      text NOT NULL CHECK (char_length(source_url) BETWEEN 1 AND 2048),
  status          text NOT NULL DEFAULT 'queued'
                  CHECK (status IN ('queued', 'processing', 'retry_scheduled', 'ready', 'failed')),
  attempts        integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  max_attempts    integer NOT NULL CHECK (max_attempts >= 1),
  next_attempt_at timestamptz,
  error           jsonb,
  width           integer CHECK (width > 0),
  height          integer CHECK (height > 0),
  bytes           bigint CHECK (bytes > 0),
  format          text CHECK (format IN ('jpeg', 'png', 'webp', 'gif', 'avif')),
  thumbhash       text,
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Deferrable, so that one statement may swap two positions.
  CONSTRAINT images_position UNIQUE (product_id, position) DEFERRABLE INITIALLY IMMEDIATE,
  CONSTRAINT images_retry_has_time CHECK ((status = 'retry_scheduled') = (next_attempt_at IS NOT NULL)),
  CONSTRAINT images_failure_has_reason CHECK (status NOT IN ('failed', 'retry_scheduled') OR error IS NOT NULL),
  CONSTRAINT images_ready_is_complete CHECK (status <> 'ready' OR
    (error IS NULL AND num_nulls(width, height, bytes, format, thumbhash) = 0))
);

CREATE TABLE objects (
  id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  -- Not unique over states: settling turns a `storing` row into a `ready` one of the same key.
  key           text NOT NULL,
  source_sha256 text NOT NULL CHECK (source_sha256 ~ '^[0-9a-f]{64}$'),
  recipe        text NOT NULL,
  state         text NOT NULL CHECK (state IN ('storing', 'ready', 'going')),
  touched_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  width         integer NOT NULL CHECK (width > 0),
  height        integer NOT NULL CHECK (height > 0),
  bytes         bigint NOT NULL CHECK (bytes > 0),
  format        text NOT NULL,
  -- Of the source, kept here so that a picture which shares the object need not be decoded for it.
  thumbhash     text NOT NULL
);
CREATE UNIQUE INDEX objects_ready ON objects (source_sha256, recipe) WHERE state = 'ready';
CREATE INDEX objects_touched ON objects (touched_at);

CREATE TABLE renditions (
  image_id  uuid NOT NULL REFERENCES images (id) ON DELETE CASCADE,
  preset    text NOT NULL,
  object_id uuid NOT NULL REFERENCES objects (id),
  PRIMARY KEY (image_id, preset)
);
CREATE INDEX renditions_object ON renditions (object_id);

CREATE TABLE image_attempts (
  image_id    uuid NOT NULL REFERENCES images (id) ON DELETE CASCADE,
  -- Numbered on over redrives, which start the image's own count of attempts anew.
  number      integer NOT NULL CHECK (number >= 1),
  claim       uuid NOT NULL,
  worker      text NOT NULL,
  trace_id    text,
  started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at timestamptz,
  stage       text NOT NULL DEFAULT 'claim'
              CHECK (stage IN ('claim', 'download', 'inspect', 'render', 'store', 'settle')),
  outcome     text CHECK (outcome IN ('ready', 'retry_scheduled', 'failed', 'handed_back', 'dropped')),
  code        text,
  http_status integer,
  bytes       bigint,
  timings     jsonb,
  PRIMARY KEY (image_id, number)
);
CREATE UNIQUE INDEX image_attempts_claim ON image_attempts (claim);

-- The ledger. It is the truth about background work; a queue only carries ids.
CREATE TABLE jobs (
  id            uuid PRIMARY KEY,
  name          text NOT NULL,
  key           text NOT NULL,
  payload       jsonb NOT NULL,
  lane          text NOT NULL,
  state         text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'running', 'done', 'dead')),
  attempts      integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  max_attempts  integer NOT NULL CHECK (max_attempts >= 1),
  -- Failures in a row that were not the job's fault: they cost no attempt, but the waits still grow.
  uncounted     integer NOT NULL DEFAULT 0 CHECK (uncounted >= 0),
  due_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  ring_again_at timestamptz,
  rings         integer NOT NULL DEFAULT 0,
  claim         uuid,
  lease_until   timestamptz,
  worker        text,
  error         jsonb,
  death         uuid,
  result        text,
  trace         text,
  -- The start of the present run of attempts: creation, or the last redrive. JOB_MAX_AGE counts from here.
  queued_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at   timestamptz,
  CONSTRAINT jobs_key UNIQUE (name, key),
  CONSTRAINT jobs_running_has_lease CHECK
    ((state = 'running') = (claim IS NOT NULL AND lease_until IS NOT NULL AND worker IS NOT NULL)),
  CONSTRAINT jobs_dead_has_death CHECK ((state = 'dead') = (death IS NOT NULL)),
  CONSTRAINT jobs_finished_has_time CHECK ((state IN ('done', 'dead')) = (finished_at IS NOT NULL)),
  CONSTRAINT jobs_only_pending_rings CHECK (state = 'pending' OR ring_again_at IS NULL)
) WITH (fillfactor = 80);
CREATE INDEX jobs_due_by_lane ON jobs (lane, due_at) WHERE state = 'pending' AND ring_again_at IS NULL;
CREATE INDEX jobs_due ON jobs (due_at) WHERE state = 'pending' AND ring_again_at IS NULL;
CREATE INDEX jobs_ring_again ON jobs (ring_again_at) WHERE state = 'pending' AND ring_again_at IS NOT NULL;
CREATE INDEX jobs_lease ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_dead ON jobs (finished_at) WHERE state = 'dead';
CREATE INDEX jobs_done ON jobs (finished_at) WHERE state = 'done';

-- One row: who holds its lock rings, and `lane` is where the next round starts.
CREATE TABLE announcer (
  id   integer PRIMARY KEY CHECK (id = 1),
  lane text NOT NULL
);
INSERT INTO announcer (id, lane) VALUES (1, '');

-- Append-only. `xid` stands before `id`, so that the transaction id exists before the id is drawn;
-- rows are inserted after their product's lock is held, so id order is version order for a product.
CREATE TABLE events (
  xid        xid8 NOT NULL DEFAULT pg_current_xact_id(),
  id         bigserial PRIMARY KEY,
  user_id    text NOT NULL,
  product_id uuid NOT NULL,
  image_id   uuid,
  type       text NOT NULL,
  data       jsonb NOT NULL,
  at         timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX events_of_product ON events (product_id, id);
