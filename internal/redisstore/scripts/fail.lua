-- fail commits a failed attempt: the step is tried again after the delay, or is failed for good and becomes a dead letter.
-- KEYS: run steps log def agenda claims doubts dlq idx_running idx_paused idx_cancelling idx_succeeded idx_failed idx_cancelled
-- ARGV: id step nonce failure delay
-- Returns: OK | OK_ALREADY | FENCED, each with step_state run_state wait trace_parent sends
-- OOM: allow
-- Uses: now log run step def unsend queue settle end_run end_test fail_step answer
local id, step, nonce, failure, delay = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local s = {
  id = id, now = now(), run = KEYS[1], steps = KEYS[2], log = KEYS[3], def = KEYS[4], agenda = KEYS[5], claims = KEYS[6],
  doubts = KEYS[7], dlq = KEYS[8], idx_running = KEYS[9], idx_paused = KEYS[10], idx_cancelling = KEYS[11],
  idx_succeeded = KEYS[12], idx_failed = KEYS[13], idx_cancelled = KEYS[14],
}
read_run(s)
local t = read_step(s, step)
local no = refused(s, t, nonce)
if no then return no end
local why, children, frozen = cjson.decode(failure), children_of(s, step), step_def(s, step)

redis.call('ZREM', s.claims, id .. ':' .. step)
write_step(s, t, {failures = t.failures + 1, done = nonce, claim = '', lease = 0, leaving = '', error = failure})
if s.state == 'cancelling' then
  write_step(s, t, {state = 'cancelled', finished_at = s.now})
  s.active = s.active - 1
  log(s, 'cancelled', t)
  end_test(s)
elseif why.retryable and t.failures < frozen.max_attempts then
  write_step(s, t, {state = 'retrying', due = s.now + delay})
  if s.state ~= 'paused' then redis.call('ZADD', s.doubts, s.now + math.min(delay + 60000, 120000), id .. ':' .. step) end
  log(s, 'retrying', t, why.code, why.message)
else
  fail_step(s, t, children, failure, why.code, why.message)
end
return answer(s, t, 'OK')
