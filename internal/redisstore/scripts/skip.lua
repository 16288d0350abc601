-- skip settles a failed, queued, retrying or waiting step as skipped: its children go on without its output.
-- KEYS: run steps log def agenda doubts dlq idx_scheduled idx_running idx_paused idx_succeeded idx_failed
-- ARGV: id step nonce actor reason
-- Returns: OK | OK_ALREADY | CONFLICT | NORUN, each with run_state step_state trace_parent sends stale
-- OOM: allow
-- Uses: now log run step def unsend queue settle end_run end_test operator open_run failed by_hand
local id, step, nonce, actor, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local s = {
  id = id, now = now(), run = KEYS[1], steps = KEYS[2], log = KEYS[3], def = KEYS[4], agenda = KEYS[5], doubts = KEYS[6],
  dlq = KEYS[7], idx_scheduled = KEYS[8], idx_running = KEYS[9], idx_paused = KEYS[10], idx_succeeded = KEYS[11], idx_failed = KEYS[12],
}
local no = asked(s, nonce)
if no then return no end
local t, refusal = by_hand(s, step)
if not t then return refusal end
settle_by_hand(s, t, 'skipped', 'skip', 'skipped', reason, actor)
remember(s, nonce)
return operated(s, 'OK')
