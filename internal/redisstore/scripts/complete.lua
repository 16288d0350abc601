-- complete commits a claimed step's output and queues the children that became ready.
-- KEYS: run output steps log def agenda claims doubts idx_running idx_paused idx_cancelling idx_succeeded idx_failed idx_cancelled
-- ARGV: id step nonce body max_bytes
-- Returns: OK | OK_ALREADY | FENCED | TOOBIG, each with step_state run_state wait trace_parent sends
-- OOM: allow
-- Uses: now log run step def unsend queue settle end_run end_test answer
local id, step, nonce, body, max_bytes = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local s = {
  id = id, now = now(), run = KEYS[1], output = KEYS[2], steps = KEYS[3], log = KEYS[4], def = KEYS[5], agenda = KEYS[6],
  claims = KEYS[7], doubts = KEYS[8], idx_running = KEYS[9], idx_paused = KEYS[10], idx_cancelling = KEYS[11],
  idx_succeeded = KEYS[12], idx_failed = KEYS[13], idx_cancelled = KEYS[14],
}
read_run(s)
local t = read_step(s, step)
local no = refused(s, t, nonce)
if no then return no end
if s.bytes + #body > max_bytes then return answer(s, t, 'TOOBIG') end
local children = children_of(s, step)

redis.call('HSET', s.output, step, body)
s.bytes, s.completed, s.active = s.bytes + #body, s.completed + 1, s.active - 1
redis.call('ZREM', s.claims, id .. ':' .. step)
write_step(s, t, {state = 'succeeded', done = nonce, claim = '', lease = 0, leaving = '', due = 0, error = '', finished_at = s.now})
log(s, 'succeeded', t)
settle(s, children, 'ok')
end_test(s)
return answer(s, t, 'OK')
