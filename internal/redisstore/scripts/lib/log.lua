-- log appends a line to the run's history: [ms, event, step, epoch, attempt, worker, code, message, actor], empty ends cut off.
local function log(s, event, t, code, message, actor)
  local line = {s.now, event}
  if t then
    line = {s.now, event, t.name, t.epoch, t.attempts, t.worker, code or '', message or '', actor or ''}
    while line[#line] == '' or line[#line] == 0 do line[#line] = nil end
  end
  if redis.call('RPUSH', s.log, cjson.encode(line)) > 1000 then redis.call('LTRIM', s.log, -1000, -1) end
end
