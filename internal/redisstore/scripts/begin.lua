-- begin claims a delivered step for a nonce. The same nonce again gets the same answer. It never takes a claim over.
-- KEYS: run input output steps log def agenda claims doubts idx_scheduled idx_running
-- ARGV: id step epoch nonce worker ttl alone digest
-- Returns: RUN 0 epoch attempts failures crashes gen worker step_def config input outputs run_fields | BUSY wait |
--   NORUN STALE DONE FAILED PARKED ALONE 0
-- OOM: allow
-- Uses: now log run step def
-- Longer than most: the order of its tests is its meaning, and its answer is all that a handler needs.
local id, step, epoch, nonce, worker = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local ttl, alone, digest = tonumber(ARGV[6]), ARGV[7] == '1', ARGV[8]
local s = {
  id = id, now = now(), run = KEYS[1], input = KEYS[2], output = KEYS[3], steps = KEYS[4], log = KEYS[5], def = KEYS[6],
  agenda = KEYS[7], claims = KEYS[8], doubts = KEYS[9], idx_scheduled = KEYS[10], idx_running = KEYS[11],
  more = {'workflow', 'version', 'labels', 'correlation_id', 'started_at'},
}
read_run(s)
if s.state == '' then return {'NORUN', 0} end
local t = read_step(s, step)
if t.state == '' or t.epoch ~= epoch or s.digest ~= digest then return {'STALE', 0} end
if t.state == 'succeeded' or t.state == 'skipped' or t.state == 'cancelled' then return {'DONE', 0} end
if t.state == 'failed' then return {'FAILED', 0} end
local mine = t.state == 'running' and t.claim == nonce
if not mine then
  if t.done == nonce then return {'STALE', 0} end -- a late copy of a begin whose attempt is over
  if t.state == 'running' then return {'BUSY', math.max(0, t.lease - s.now)} end
  if t.state == 'waiting' then return {'BUSY', 0} end
  if s.state ~= 'scheduled' and s.state ~= 'running' then return {'PARKED', 0} end
  if t.due > s.now + 1000 then return {'BUSY', t.due - s.now} end
  if t.crashes >= 2 and not alone then return {'ALONE', 0} end
end

local frozen = redis.call('HMGET', s.def, 'step:' .. step, 'config:' .. step)
if not frozen[1] then error('CORRUPT no step ' .. step .. ' in ' .. s.def) end
local parents = cjson.decode(frozen[1]).parents
local outputs = #parents > 0 and redis.call('HMGET', s.output, unpack(parents)) or {}
if not mine then
  local member = id .. ':' .. step
  write_step(s, t, {
    state = 'running', claim = nonce, lease = s.now + ttl, attempts = t.attempts + 1, started_at = s.now, worker = worker, due = 0, leaving = '', seen = 0,
  })
  if redis.call('ZREM', s.agenda, 'send:' .. member .. ':' .. epoch) == 0 then redis.call('ZREM', s.doubts, member) end
  redis.call('ZADD', s.claims, t.lease, member)
  if not s.fields[13] then redis.call('HSET', s.run, 'started_at', s.now) end
  if s.state == 'scheduled' then move_run(s, 'running') end
  log(s, 'begun', t)
end
return {
  'RUN', 0, epoch, t.attempts, t.failures, t.crashes, t.gen, t.worker, frozen[1], frozen[2], redis.call('GET', s.input), outputs,
  {s.fields[9], s.fields[10], s.fields[11], s.fields[12], s.trace},
}
