-- release gives a claimed step back without a failure or a crash.
-- KEYS: run steps log def agenda claims doubts idx_cancelling idx_succeeded idx_failed idx_cancelled
-- ARGV: id step nonce
-- Returns: OK | OK_ALREADY | FENCED, each with step_state run_state wait trace_parent sends
-- OOM: allow
-- Uses: now log run step def unsend queue end_run end_test answer
local id, step, nonce = ARGV[1], ARGV[2], ARGV[3]
local s = {
  id = id, now = now(), run = KEYS[1], steps = KEYS[2], log = KEYS[3], def = KEYS[4], agenda = KEYS[5], claims = KEYS[6],
  doubts = KEYS[7], idx_cancelling = KEYS[8], idx_succeeded = KEYS[9], idx_failed = KEYS[10], idx_cancelled = KEYS[11],
}
read_run(s)
local t = read_step(s, step)
local no = refused(s, t, nonce)
if no then return no end
local frozen = step_def(s, step)
t.handler, t.queue = frozen.handler, frozen.queue

redis.call('ZREM', s.claims, id .. ':' .. step)
write_step(s, t, {done = nonce})
queue(s, t, 0)
log(s, 'released', t)
if t.state == 'cancelled' then end_test(s) end
return answer(s, t, 'OK')
