-- drop_strays removes entries of claims whose step is not running, and of doubts whose step is neither queued nor retrying or waits in a paused
-- run; all of a run that is gone. A roll-back of Redis can leave such behind. Its more keys are run and steps of each entry.
-- KEYS: claims doubts runs...
-- ARGV: steps... (id and step of each, in the order of the runs keys)
-- Returns: OK
-- OOM: allow
local s = {claims = KEYS[1], doubts = KEYS[2]}
for i = 3, #KEYS, 2 do
  local id, step = ARGV[i - 2], ARGV[i - 1]
  local run, state = redis.call('HGET', KEYS[i], 'state'), redis.call('HGET', KEYS[i + 1], step .. ':state')
  if not run or state ~= 'running' then redis.call('ZREM', s.claims, id .. ':' .. step) end
  if not run or run == 'paused' or (state ~= 'queued' and state ~= 'retrying') then redis.call('ZREM', s.doubts, id .. ':' .. step) end
end
return {'OK'}
