-- queue issues a step anew: next epoch, what was left of the last one dropped. due is when it may begin, 0 at once. A paused run
-- gets no send entry; in a cancelling run the step is cancelled instead.
local function queue(s, t, due)
  if t.epoch > 0 then unsend(s, t) end
  if due <= s.now then due = 0 end
  write_step(s, t, {state = 'queued', epoch = t.epoch + 1, queued_at = s.now, due = due, claim = '', lease = 0, leaving = '', seen = 0})
  if s.state == 'paused' then return end
  if s.state == 'cancelling' or s.state == 'cancelled' then
    write_step(s, t, {state = 'cancelled', due = 0, finished_at = s.now})
    s.active = s.active - 1
    return
  end
  redis.call('ZADD', s.agenda, due > 0 and due or s.now + 1000, 'send:' .. s.id .. ':' .. t.name .. ':' .. t.epoch)
  if due == 0 then s.sends[#s.sends + 1] = {t.name, t.epoch, t.handler, t.queue} end
end
