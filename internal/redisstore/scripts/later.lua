-- later moves a send entry, if it is still there.
-- KEYS: agenda
-- ARGV: member delay
-- Returns: OK
-- OOM: allow
-- Uses: now
local member, delay = ARGV[1], tonumber(ARGV[2])
local s = {agenda = KEYS[1]}
redis.call('ZADD', s.agenda, 'XX', now() + delay, member)
return {'OK'}
