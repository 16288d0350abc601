-- audit compares a run's counts and its entries in lists and sets with the states of its steps. It changes nothing.
-- KEYS: run steps def agenda claims doubts dlq idx_workflow idx_scheduled idx_running idx_paused idx_succeeded idx_failed idx_compensating idx_compensated idx_cancelling idx_cancelled
-- ARGV: id
-- Returns: OK mismatches
-- OOM: allow
-- Uses: def
-- Longer than most: each line of it is a rule.
local id = ARGV[1]
local s = {
  run = KEYS[1], steps = KEYS[2], def = KEYS[3], agenda = KEYS[4], claims = KEYS[5], doubts = KEYS[6], dlq = KEYS[7],
  idx_workflow = KEYS[8], idx_scheduled = KEYS[9], idx_running = KEYS[10], idx_paused = KEYS[11], idx_succeeded = KEYS[12], idx_failed = KEYS[13],
  idx_compensating = KEYS[14], idx_compensated = KEYS[15], idx_cancelling = KEYS[16], idx_cancelled = KEYS[17],
}
local v = redis.call('HMGET', s.run, 'state', 'active', 'completed', 'total', 'deadline', 'created_at')
local state, active, completed, total = v[1], (v[2] or 0) + 0, (v[3] or 0) + 0, (v[4] or 0) + 0
local found = {}
local function require(holds, what)
  if not holds then found[#found + 1] = what end
end
if not state then return {'OK', {'is listed, and there is no such run'}} end
if redis.call('EXISTS', s.def) == 0 then return {'OK', {'its definition is not there'}} end

local n, done, names, kinds = 0, 0, steps_of(s), {queued = 1, running = 1, retrying = 1, waiting = 1, succeeded = 2, skipped = 2}
for _, name in ipairs(names) do
  local member, is = id .. ':' .. name, 'step ' .. name .. ' is '
  local t = redis.call('HMGET', s.steps, name .. ':state', name .. ':epoch', name .. ':lease')
  local send = redis.call('ZSCORE', s.agenda, 'send:' .. member .. ':' .. (t[2] or ''))
  local claim, doubt, dead = redis.call('ZSCORE', s.claims, member), redis.call('ZSCORE', s.doubts, member), redis.call('ZSCORE', s.dlq, member)
  if kinds[t[1]] == 1 then n = n + 1 elseif kinds[t[1]] == 2 then done = done + 1 end
  is = is .. (t[1] or 'pending')
  require(t[1] ~= 'queued' or send or doubt or state == 'paused', is .. ', without a send entry or a doubt')
  require(t[1] ~= 'retrying' or doubt or state == 'paused', is .. ', without a doubt')
  require(t[1] ~= 'running' or (claim and claim + 0 == (t[3] or 0) + 0), is .. ', without its lease in claims')
  require(t[1] ~= 'failed' or dead or state == 'cancelling' or state == 'cancelled', is .. ', and no dead letter')
  require(t[1] == 'queued' or not send, is .. ', with a send entry')
  require(t[1] == 'queued' or t[1] == 'retrying' or not doubt, is .. ', with a doubt')
  require(t[1] == 'running' or not claim, is .. ', with a claim')
  require(t[1] == 'failed' or not dead, is .. ', and a dead letter')
end
require(active == n, 'counts ' .. active .. ' active steps, has ' .. n)
require(completed == done, 'counts ' .. completed .. ' completed steps, has ' .. done)
require(total == #names, 'counts ' .. total .. ' steps, has ' .. #names)
local ended = state == 'succeeded' or state == 'failed' or state == 'compensated' or state == 'cancelled'
require(ended == (n == 0), 'is ' .. state .. ' with ' .. n .. ' active steps')
local due = redis.call('ZSCORE', s.agenda, 'end:' .. id)
require(not ended or not due, 'is ' .. state .. ', with a deadline')
require(ended or state == 'paused' or (due and due + 0 == (v[5] or 0) + 0), 'is ' .. state .. ', without its deadline in the agenda')
for key, name in pairs(s) do
  local list = string.match(key, '^idx_(.*)')
  if list == 'workflow' or list == state then require(redis.call('ZSCORE', name, id) == v[6], 'is not in the list of its ' .. (list == state and 'state' or list))
  elseif list then require(not redis.call('ZSCORE', name, id), 'is ' .. state .. ', and listed as ' .. list) end
end
table.sort(found)
return {'OK', found}
