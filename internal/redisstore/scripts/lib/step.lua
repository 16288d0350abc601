-- read_step reads a step of the run. What is absent is '', or 0 where it is a number.
local function read_step(s, name)
  local texts = {'state', 'claim', 'done', 'dead', 'leaving', 'worker'}
  local fields = {'state', 'claim', 'done', 'dead', 'leaving', 'worker', 'epoch', 'lease', 'due', 'attempts', 'failures', 'crashes', 'gen'}
  local names, t = {}, {name = name}
  for i, f in ipairs(fields) do names[i] = name .. ':' .. f end
  local v = redis.call('HMGET', s.steps, unpack(names))
  for i, f in ipairs(fields) do
    if i <= #texts then t[f] = v[i] or '' else t[f] = tonumber(v[i] or 0) end
  end
  return t
end

-- write_step changes fields of a step; '' and 0 remove one.
local function write_step(s, t, changes)
  local set, del = {}, {}
  for f, v in pairs(changes) do
    t[f] = v
    if v == '' or v == 0 then
      del[#del + 1] = t.name .. ':' .. f
    else
      set[#set + 1] = t.name .. ':' .. f
      set[#set + 1] = v
    end
  end
  if #set > 0 then redis.call('HSET', s.steps, unpack(set)) end
  if #del > 0 then redis.call('HDEL', s.steps, unpack(del)) end
end
