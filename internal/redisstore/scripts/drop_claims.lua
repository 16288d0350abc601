-- drop_claims removes entries of claims whose step is not running, which a roll-back of Redis can leave behind.
-- KEYS: claims steps...
-- ARGV: steps... (id and step of each, in the order of the steps keys)
-- Returns: OK
-- OOM: allow
local s = {claims = KEYS[1]}
for i = 2, #KEYS do
  local id, step = ARGV[(i - 2) * 2 + 1], ARGV[(i - 2) * 2 + 2]
  if redis.call('HGET', KEYS[i], step .. ':state') ~= 'running' then redis.call('ZREM', s.claims, id .. ':' .. step) end
end
return {'OK'}
