-- workers reads all workers, and the time at which to judge them.
-- KEYS: workers
-- ARGV:
-- Returns: OK now workers (the JSON of each)
-- OOM: allow
-- Uses: now
local s = {workers = KEYS[1]}
return {'OK', now(), redis.call('HVALS', s.workers)}
