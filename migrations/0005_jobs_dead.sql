-- Nobody asks for dead jobs by the time of their death but for those that are still to be announced, which
-- have jobs_unburied. Where statistics were behind a burst of deaths, this one was taken for the mark of
-- what was announced, and every batch read all the dead: 1,000 of 100,000 took 61 s, and take 0.4 s without.
DROP INDEX jobs_dead;
