-- Deaths are announced like jobs, to a queue that has a place for them. Of a dead job `ring_again_at` is the
-- time when its message is written once more: null, it was never written; infinity, the queue has it.
ALTER TABLE jobs DROP CONSTRAINT jobs_only_pending_rings;
ALTER TABLE jobs ADD CONSTRAINT jobs_only_waiting_rings CHECK
  (state IN ('pending', 'dead') OR ring_again_at IS NULL);
CREATE INDEX jobs_unburied ON jobs (finished_at)
  WHERE state = 'dead' AND (ring_again_at IS NULL OR ring_again_at < 'infinity');
