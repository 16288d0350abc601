-- expire ends a run whose deadline has passed, unless it is paused: its active steps fail and become dead letters.
-- KEYS: run steps log def agenda claims doubts dlq idx_scheduled idx_running idx_cancelling idx_failed idx_cancelled
-- ARGV: id
-- Returns: OK | OK_ALREADY | CONFLICT | NORUN, each with run_state
-- OOM: allow
-- Uses: now log run step def unsend end_run failure
-- Longer than most: nothing may be written before every active step has been read.
local id = ARGV[1]
local s = {
  id = id, now = now(), run = KEYS[1], steps = KEYS[2], log = KEYS[3], def = KEYS[4], agenda = KEYS[5], claims = KEYS[6],
  doubts = KEYS[7], dlq = KEYS[8], idx_scheduled = KEYS[9], idx_running = KEYS[10], idx_cancelling = KEYS[11],
  idx_failed = KEYS[12], idx_cancelled = KEYS[13],
}
read_run(s)
local ended = {[''] = 'NORUN', succeeded = 'OK_ALREADY', failed = 'OK_ALREADY', cancelled = 'OK_ALREADY', compensated = 'OK_ALREADY'}
if ended[s.state] then
  redis.call('ZREM', s.agenda, 'end:' .. id)
  return {ended[s.state], s.state}
end
if s.state == 'paused' or (redis.call('HGET', s.run, 'deadline') or 0) - s.now > 0 then return {'CONFLICT', s.state} end
local active, targets = {queued = true, running = true, retrying = true, waiting = true}, {}
for _, name in ipairs(steps_of(s)) do
  local state = redis.call('HGET', s.steps, name .. ':state')
  if active[state] then targets[#targets + 1] = {step = read_step(s, name), children = children_of(s, name)} end
end

local cancelled = s.state == 'cancelling'
for _, target in ipairs(targets) do
  local t, member = target.step, id .. ':' .. target.step.name
  unsend(s, t)
  redis.call('ZREM', s.claims, member)
  local message = "the run's deadline passed while the step was " .. t.state
  write_step(s, t, {state = cancelled and 'cancelled' or 'failed', claim = '', lease = 0, leaving = '', due = 0, seen = 0, finished_at = s.now})
  if cancelled then
    log(s, 'cancelled', t)
  else
    write_step(s, t, {error = failure('DEADLINE_EXCEEDED', message)})
    redis.call('ZADD', s.dlq, s.now, member)
    log(s, 'failed', t, 'DEADLINE_EXCEEDED', message)
    for _, child in ipairs(target.children) do redis.call('HINCRBY', s.steps, child.name .. ':fail', 1) end
  end
end
redis.call('HSET', s.run, 'active', 0)
end_run(s, cancelled and 'cancelled' or 'failed')
log(s, 'expired')
return {'OK', s.state}
