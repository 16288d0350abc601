-- end_test ends the run when no step of it is active any more, and writes the numbers of the run in any case.
local function end_test(s)
  write_run(s)
  if s.active > 0 then return end
  local to = 'failed'
  if s.completed == s.total then to = 'succeeded' elseif s.state == 'cancelling' then to = 'cancelled' end
  end_run(s, to)
  log(s, 'run_' .. to)
end
