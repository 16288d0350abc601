-- read_step reads a step of the run. What is absent is '', or 0 where it is a number.
local function read_step(s, name)
  local n = name .. ':'
  local v = redis.call('HMGET', s.steps, n .. 'state', n .. 'epoch', n .. 'claim', n .. 'lease', n .. 'leaving', n .. 'done', n .. 'dead',
    n .. 'due', n .. 'attempts', n .. 'failures', n .. 'crashes', n .. 'gen', n .. 'error', n .. 'worker', n .. 'finished_at', n .. 'seen')
  return {
    name = name, state = v[1] or '', epoch = (v[2] or 0) + 0, claim = v[3] or '', lease = (v[4] or 0) + 0, leaving = v[5] or '',
    done = v[6] or '', dead = v[7] or '', due = (v[8] or 0) + 0, attempts = (v[9] or 0) + 0, failures = (v[10] or 0) + 0,
    crashes = (v[11] or 0) + 0, gen = (v[12] or 0) + 0, error = v[13] or '', worker = v[14] or '', finished_at = (v[15] or 0) + 0,
    seen = (v[16] or 0) + 0,
  }
end

-- write_step changes fields of a step; '' and 0 remove one. t is as read_step left it, or new with a name and epoch 0.
local function write_step(s, t, changes)
  local n, set, del = t.name .. ':', {}, nil
  for f, v in pairs(changes) do
    if v ~= '' and v ~= 0 then
      set[#set + 1] = n .. f
      set[#set + 1] = v
    elseif t[f] and t[f] ~= v then
      del = del or {}
      del[#del + 1] = n .. f
    end
    t[f] = v
  end
  if #set > 0 then redis.call('HSET', s.steps, unpack(set)) end
  if del then redis.call('HDEL', s.steps, unpack(del)) end
end
