-- later moves entries that are still there: to a time after now.
-- KEYS: agenda claims doubts
-- ARGV: delay members...
-- Returns: OK
-- OOM: allow
-- Uses: now
local delay = ARGV[1]
local s = {now = now(), agenda = KEYS[1], claims = KEYS[2], doubts = KEYS[3]}
for i = 2, #ARGV do
  for _, set in ipairs({s.agenda, s.claims, s.doubts}) do redis.call('ZADD', set, 'XX', s.now + delay, ARGV[i]) end
end
return {'OK'}
