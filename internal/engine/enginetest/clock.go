package enginetest

import "time"

// Follow lets the store read its clock from now, for a simulation that has one already. SetTime and Advance end that.
func (m *Memory) Follow(now func() time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.follow = now
}

// SetTime sets the clock, backwards as well.
func (m *Memory) SetTime(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now, m.follow = now.UnixMilli(), nil
}

// Advance moves the clock by d.
func (m *Memory) Advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now, m.follow = m.clock()+d.Milliseconds(), nil
}

// Now returns the time on the clock.
func (m *Memory) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return instant(m.clock())
}

// clock is the time now. The caller holds the lock and asks once a transition.
func (m *Memory) clock() int64 {
	if m.follow != nil {
		return m.follow().UnixMilli()
	}
	return m.now
}
