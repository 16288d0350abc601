package simulation

import "slices"

// shrinkTries bounds the episodes that a shrinking plays: each takes some tenths of a second.
const shrinkTries = 300

// episode plays actions in a new world and returns it.
func episode(actions []action, off string) *world {
	w := newWorld(off)
	for i, a := range actions {
		w.play(a)
		if i%checkEvery == 0 {
			w.check()
		}
		if w.broke != nil {
			return w
		}
	}
	w.end()
	return w
}

// shrink returns a shorter list of actions that goes wrong as well: it leaves out ever smaller pieces, as long as that leads to anything.
func shrink(actions []action, off string) []action {
	tries := 0
	for size := len(actions) / 2; size > 0; {
		shorter := false
		for from := 0; from+size <= len(actions) && tries < shrinkTries; tries++ {
			without := slices.Concat(actions[:from], actions[from+size:])
			if episode(without, off).broke != nil {
				actions, shorter = without, true
			} else {
				from += size
			}
		}
		if !shorter || size > len(actions) {
			size /= 2
		}
	}
	return actions
}
