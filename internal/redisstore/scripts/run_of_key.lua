-- run_of_key finds the run that an idempotency key names, and writes it again, for the reason that create_run tells.
-- KEYS: idem
-- ARGV:
-- Returns: OK run fingerprint
-- OOM: allow
local s = {idem = KEYS[1]}
local found = redis.call('HMGET', s.idem, 'run', 'fingerprint')
if found[1] then redis.call('HSET', s.idem, 'run', found[1]) end
return {'OK', found[1] or '', found[2] or ''}
