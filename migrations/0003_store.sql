-- One row: the mark by which the store of this database's pictures is known again. It is placed in the
-- store by whichever process starts first; every other one looks for it.
CREATE TABLE store (
  id        integer PRIMARY KEY CHECK (id = 1),
  mark      uuid NOT NULL DEFAULT gen_random_uuid(),
  is_placed boolean NOT NULL DEFAULT false
);
INSERT INTO store (id) VALUES (1);
