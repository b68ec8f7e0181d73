-- Of codes that end a job after fewer failures than it has attempts: how many of them others followed, by code,
-- since the job was queued or last redriven. A release that does not know the column leaves it as it is.
ALTER TABLE jobs ADD COLUMN failures jsonb NOT NULL DEFAULT '{}';
