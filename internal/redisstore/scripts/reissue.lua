-- reissue gives a step that lost its task or its worker a new epoch, if it still is as it was seen.
-- KEYS: run steps log def agenda claims doubts dlq idx_running idx_paused idx_cancelling idx_succeeded idx_failed idx_cancelled
-- ARGV: id step state epoch nonce crash delay
-- Returns: OK | RACED | ALIVE, each with step_state run_state wait trace_parent sends
-- OOM: allow
-- Uses: now log run step def unsend queue settle end_run end_test fail_step failure answer
local id, step, state, epoch, nonce = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local crash, delay = ARGV[6], tonumber(ARGV[7])
local s = {
  id = id, now = now(), run = KEYS[1], steps = KEYS[2], log = KEYS[3], def = KEYS[4], agenda = KEYS[5], claims = KEYS[6],
  doubts = KEYS[7], dlq = KEYS[8], idx_running = KEYS[9], idx_paused = KEYS[10], idx_cancelling = KEYS[11],
  idx_succeeded = KEYS[12], idx_failed = KEYS[13], idx_cancelled = KEYS[14],
}
read_run(s)
local t = read_step(s, step)
local movable = state == 'running' or state == 'queued' or state == 'retrying'
if not movable or t.state ~= state or t.epoch ~= epoch or t.claim ~= nonce then return answer(s, t, 'RACED') end
if state == 'running' and t.lease > s.now then return answer(s, t, 'ALIVE') end
local children, frozen = children_of(s, step), step_def(s, step)
t.handler, t.queue = frozen.handler, frozen.queue

local due, event = math.max(t.due, s.now + delay), 'reissued'
redis.call('ZREM', s.claims, id .. ':' .. step)
if state == 'running' and crash == '1' and t.leaving ~= '1' then
  local dead = {}
  for n in string.gmatch(t.dead, '[^,]+') do dead[#dead + 1] = n end
  dead[#dead + 1] = nonce
  write_step(s, t, {crashes = t.crashes + 1, dead = table.concat(dead, ',', math.max(1, #dead - 3))})
  event = 'crashed'
end
if event == 'crashed' and t.crashes >= 3 and s.state ~= 'cancelling' then
  local message = 'the worker process died 3 times while it ran this step; last worker ' .. t.worker .. ', last attempt ' .. t.attempts
  log(s, event, t)
  fail_step(s, t, children, failure('POISON', message), 'POISON', message)
  return answer(s, t, 'OK')
end
queue(s, t, due)
log(s, event, t)
if t.state == 'cancelled' then end_test(s) end
return answer(s, t, 'OK')
