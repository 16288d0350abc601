-- resolve settles a failed, queued, retrying or waiting step as succeeded, with an output that an operator gives.
-- KEYS: run output steps log def agenda doubts dlq idx_scheduled idx_running idx_paused idx_succeeded idx_failed
-- ARGV: id step nonce actor reason body max_bytes
-- Returns: OK | OK_ALREADY | CONFLICT | TOOBIG | NORUN, each with run_state step_state trace_parent sends stale
-- OOM: allow
-- Uses: now log run step def unsend queue settle end_run end_test operator open_run failed by_hand
local id, step, nonce, actor, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local body, max_bytes = ARGV[6], tonumber(ARGV[7])
local s = {
  id = id, now = now(), run = KEYS[1], output = KEYS[2], steps = KEYS[3], log = KEYS[4], def = KEYS[5], agenda = KEYS[6], doubts = KEYS[7],
  dlq = KEYS[8], idx_scheduled = KEYS[9], idx_running = KEYS[10], idx_paused = KEYS[11], idx_succeeded = KEYS[12], idx_failed = KEYS[13],
}
local no = asked(s, nonce)
if no then return no end
local t, refusal = by_hand(s, step)
if not t then return refusal end
if s.bytes + #body > max_bytes then return operated(s, 'TOOBIG', t.state) end
redis.call('HSET', s.output, step, body)
s.bytes = s.bytes + #body
settle_by_hand(s, t, 'succeeded', 'ok', 'resolved', reason, actor)
remember(s, nonce)
return operated(s, 'OK')
