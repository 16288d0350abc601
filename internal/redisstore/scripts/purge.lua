-- purge removes an ended run whose retention is over, with all that belongs to it.
-- KEYS: run input output steps log agenda idem dlq idx_all idx_workflow idx_succeeded idx_failed idx_compensated idx_cancelled labels...
-- ARGV: id
-- Returns: OK | OK_ALREADY | CONFLICT
-- OOM: allow
-- Uses: now
local id = ARGV[1]
local s = {
  now = now(), run = KEYS[1], input = KEYS[2], output = KEYS[3], steps = KEYS[4], log = KEYS[5], agenda = KEYS[6], idem = KEYS[7], dlq = KEYS[8],
  idx_all = KEYS[9], idx_workflow = KEYS[10], idx_succeeded = KEYS[11], idx_failed = KEYS[12], idx_compensated = KEYS[13], idx_cancelled = KEYS[14],
}
local state, entry = redis.call('HGET', s.run, 'state'), 'purge:' .. id
local due = redis.call('ZSCORE', s.agenda, entry)
local ended = state == 'succeeded' or state == 'failed' or state == 'compensated' or state == 'cancelled'
if not ended then
  redis.call('ZREM', s.agenda, entry)
  return {state and 'CONFLICT' or 'OK_ALREADY'}
end
if not due or due + 0 > s.now then return {'CONFLICT'} end

for _, field in ipairs(redis.call('HKEYS', s.steps)) do
  local step = string.match(field, '^(.+):state$')
  if step then redis.call('ZREM', s.dlq, id .. ':' .. step) end
end
redis.call('ZREM', s.agenda, entry, 'end:' .. id)
for i = 9, #KEYS do redis.call('ZREM', KEYS[i], id) end
if redis.call('HGET', s.idem, 'run') == id then redis.call('UNLINK', s.idem) end
redis.call('UNLINK', s.run, s.input, s.output, s.steps, s.log)
return {'OK'}
