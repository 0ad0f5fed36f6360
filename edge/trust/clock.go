package trust

import "time"

// believedJump is how far ahead of what is known the wall clock may be and still
// decide that something has expired: the drift of a bad quartz over years, and far
// less than a lease or the life of a command that matters.
const believedJump = 24 * time.Hour

// Clock is what a node knows about the time without trusting its wall clock, which
// may have started in 1970 and may be set by anybody on the network.
type Clock struct {
	Built  time.Time     `json:"-"`                // of the running binary
	Stored time.Time     `json:"stored,omitzero"`  // the floor as it was last kept
	Signed time.Time     `json:"signed,omitzero"`  // the newest time anybody verified has signed
	Since  time.Duration `json:"sinceNs,omitzero"` // boot time measured since Signed
}

// Floor is a time that has certainly passed.
func (c Clock) Floor() time.Time {
	floor := c.Built
	for _, other := range [...]time.Time{c.Stored, c.known()} {
		if other.After(floor) {
			floor = other
		}
	}
	return floor
}

// known is the newest signed time and what was measured since; zero when nobody has
// signed any.
func (c Clock) known() time.Time {
	if c.Signed.IsZero() {
		return time.Time{}
	}
	return c.Signed.Add(max(0, c.Since))
}

// Now is the time to live by, certificates included: the wall clock's, but never
// before the floor.
func (c Clock) Now(wall time.Time) time.Time {
	if floor := c.Floor(); wall.Before(floor) {
		return floor
	}
	return wall
}

// Believes tells whether the wall clock may decide that something has expired. Where
// nobody has signed a time, the floor is all there is to compare it with.
func (c Clock) Believes(wall time.Time) bool {
	base := c.known()
	if base.IsZero() {
		base = c.Floor()
	}
	return !wall.After(base.Add(believedJump))
}

// Expired tells whether an instant has passed for certain: by the wall clock where
// it is believed, else by the floor alone.
func (c Clock) Expired(at, wall time.Time) bool {
	now := c.Floor()
	if c.Believes(wall) {
		now = c.Now(wall)
	}
	return now.After(at)
}

// Hear takes over a verified signed time. An older one changes nothing.
func (c Clock) Hear(signed time.Time) Clock {
	if signed.After(c.known()) {
		c.Signed, c.Since = signed, 0
	}
	return c
}

// Tick counts measured time on.
func (c Clock) Tick(measured time.Duration) Clock {
	if measured > 0 && !c.Signed.IsZero() {
		c.Since += measured
	}
	return c
}

// Keep moves the stored floor up to the wall clock, where that is believed: a wall
// clock somebody set ahead must not become the floor for good.
func (c Clock) Keep(wall time.Time) Clock {
	if c.Believes(wall) {
		c.Stored = c.Now(wall)
	} else {
		c.Stored = c.Floor()
	}
	return c
}

// Forget drops every time that was signed or kept. It is for the moment the keys of
// the freshness role are rotated: whoever had stolen one may have signed the year
// 9999, and the floor must come down again.
func (c Clock) Forget() Clock { return Clock{Built: c.Built} }
