//go:build !race

package fleetlink_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/fleetlink"
)

// TestLink_Budget: history waits for the month's bytes, and the rest does not.
func TestLink_Budget(t *testing.T) {
	const budget = 10 << 20
	alter := func(_ *process, o *fleetlink.Options) { o.Budget = func() uint64 { return budget } }
	on(t, alter, func(t *testing.T, s *stage) {
		s.dark()
		for n := range 4000 { // about 1.6 MB on the wire, of which a twentieth of 10 MB may go at once
			s.node.note(n)
		}
		s.light(t)
		pass(time.Hour)
		status := s.node.Status()
		if share := float64(status.Bytes) / budget; share > 0.07 || share < 0.045 {
			t.Errorf("%d bytes of %d are used in the first hour, want the reserve", status.Bytes, budget)
		}
		if status.WaitsTill == nil || !status.WaitsTill.After(time.Now()) || !hasWarning(status.Warnings, "link-budget-used") {
			t.Errorf("status is %+v, want it to wait and to warn", status)
		}
		s.node.commit(1)
		s.node.setState("new")
		await(t, "reply", 5*time.Second, func() bool { return s.stream("control").Confirmed == 1 })
		await(t, "state", 20*time.Minute, s.isSeen)
		for day := range 6 {
			pass(24 * time.Hour)
			elapsed := float64(time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))) / float64(31*24*time.Hour)
			if used := float64(s.node.Status().Bytes); used > budget*(elapsed+0.06) {
				t.Errorf("on day %d %.0f bytes are used, more than the month's share and the reserve", day, used)
			}
		}
		await(t, "confirmed", 10*24*time.Hour, s.isEmpty)
		pass(2 * time.Hour)
		if status := s.node.Status(); status.WaitsTill != nil || len(status.Warnings) > 0 {
			t.Errorf("status is %+v, want no more waiting", status)
		}
		if s.flash.saves > 24*20 {
			t.Errorf("the meter was saved %d times, want once an hour at most", s.flash.saves)
		}
	})
}

// TestLink_Meter: the month goes on over a restart, and a new one begins with nothing.
func TestLink_Meter(t *testing.T) {
	on(t, nil, func(t *testing.T, s *stage) {
		used := s.node.Status()
		if used.Month != "2000-01" || used.Bytes == 0 {
			t.Errorf("status is %+v, want bytes in January", used)
		}
		s.node.end()
		s.node = s.flash.boot(t, s.broker, nil)
		await(t, "up", time.Minute, s.node.isUp)
		if got := s.node.Status(); got.Bytes <= used.Bytes {
			t.Errorf("%d bytes after a restart, want more than %d", got.Bytes, used.Bytes)
		}
		january := s.node.Status().Bytes
		pass(31 * 24 * time.Hour)
		if got := s.node.Status(); got.Month != "2000-02" || got.Bytes > january+24*20<<10 {
			t.Errorf("status is %+v, want February begun anew", got)
		}
		s.flash.mu.Lock()
		s.flash.usage = fleetlink.Usage{Month: "2024-06", Bytes: 77}
		s.flash.mu.Unlock()
		s.node.crash(s.broker)
		s.node = s.flash.boot(t, s.broker, floored(2024, time.June)) // with a clock that is years behind
		await(t, "up", time.Minute, s.node.isUp)
		if got := s.node.Status(); got.Month != "2024-06" || got.Bytes < 77 {
			t.Errorf("status is %+v, want the month that is known", got)
		}
	})
}

// floored gives a link a time that has certainly passed.
func floored(year int, month time.Month) func(*process, *fleetlink.Options) {
	return func(_ *process, o *fleetlink.Options) {
		o.Session.ClockFloor = func() time.Time { return time.Date(year, month, 3, 0, 0, 0, 0, time.UTC) }
	}
}

// TestLink_MeterFarAhead: a clock that was years ahead for a moment does not make history
// wait for years, and does not make the month's bytes forgotten.
func TestLink_MeterFarAhead(t *testing.T) {
	const budget = 10 << 20
	t.Run("WhileRunning", func(t *testing.T) {
		var ahead atomic.Bool
		alter := func(_ *process, o *fleetlink.Options) {
			o.Budget = func() uint64 { return budget }
			o.Session.ClockFloor = func() time.Time {
				if ahead.Load() {
					return time.Date(2036, time.March, 1, 0, 0, 0, 0, time.UTC)
				}
				return time.Time{}
			}
		}
		on(t, alter, func(t *testing.T, s *stage) {
			before := s.node.Status()
			ahead.Store(true)
			if got := s.node.Status(); got.Month != "2036-03" {
				t.Errorf("status is %+v, want what the clock says", got)
			}
			ahead.Store(false)
			got := s.node.Status()
			if got.Month != "2000-01" || got.Bytes < before.Bytes || got.WaitsTill != nil {
				t.Errorf("status is %+v, want January to go on", got)
			}
			s.node.note(1)
			await(t, "telemetry", time.Minute, s.isEmpty)
			pass(40 * 24 * time.Hour)
			if got := s.node.Status(); got.Month != "2000-02" || got.WaitsTill != nil {
				t.Errorf("status is %+v, want February to have begun", got)
			}
		})
	})
	t.Run("Kept", func(t *testing.T) {
		on(t, nil, func(t *testing.T, s *stage) {
			s.node.end()
			s.flash.usage = fleetlink.Usage{Month: "2036-03", Bytes: 77}
			s.node = s.flash.boot(t, s.broker, func(_ *process, o *fleetlink.Options) { o.Budget = func() uint64 { return budget } })
			await(t, "up", time.Minute, s.node.isUp)
			s.node.note(1)
			await(t, "telemetry", time.Minute, s.isEmpty)
			if got := s.node.Status(); got.Month != "2000-01" || got.WaitsTill != nil {
				t.Errorf("status is %+v, want January begun anew", got)
			}
		})
	})
	t.Run("NextMonthIsBelieved", func(t *testing.T) {
		on(t, nil, func(t *testing.T, s *stage) {
			s.node.end()
			s.flash.usage = fleetlink.Usage{Month: "2000-02", Bytes: 77}
			s.node = s.flash.boot(t, s.broker, nil)
			await(t, "up", time.Minute, s.node.isUp)
			if got := s.node.Status(); got.Month != "2000-02" || got.Bytes < 77 {
				t.Errorf("status is %+v, want the month that is known", got)
			}
		})
	})
}

// TestLink_Warnings: what lasts and wants a person is a warning; that the link is down
// for a while is none.
func TestLink_Warnings(t *testing.T) {
	alter := func(_ *process, o *fleetlink.Options) { o.Patience = 12 * time.Hour }
	on(t, alter, func(t *testing.T, s *stage) {
		s.dark()
		pass(11 * time.Hour)
		if got := s.node.Warnings(); len(got) > 0 {
			t.Errorf("warnings are %+v after 11 hours, want none", got)
		}
		pass(2 * time.Hour)
		if got := s.node.Warnings(); !hasWarning(got, "link-down") {
			t.Errorf("warnings are %+v after 13 hours, want link-down", got)
		}
		s.broker.set(faults{delay: hop, refuse: 5})
		await(t, "refused", time.Hour, func() bool { return s.node.Status().Cause == string(mqtt.Refused) })
		status := s.node.Status()
		if !hasWarning(status.Warnings, "link-refused") || status.Remedy == "" || status.Next == nil {
			t.Errorf("status is %+v, want a warning with a remedy and the next attempt", status)
		}
		pass(24 * time.Hour)
		s.broker.set(faults{delay: hop})
		await(t, "up", time.Hour, s.node.isUp)
		if got := s.node.Status(); len(got.Warnings) > 0 || got.Failure != "" {
			t.Errorf("status is %+v, want nothing to complain of", got)
		}
	})
}

func TestNew(t *testing.T) {
	good := func() fleetlink.Options {
		return fleetlink.Options{
			Site: "s", Node: "n", Boot: "b", Session: mqtt.Options{Broker: "tcp://broker"},
			State: func() edge.Reported { return edge.Reported{} }, StateChanged: func() <-chan struct{} { return nil },
			Birth: func() edge.Presence { return edge.Presence{} }, Hello: func() edge.Hello { return edge.Hello{} },
		}
	}
	if _, err := fleetlink.New(good()); err != nil {
		t.Errorf("New returned %v, want nil", err)
	}
	t.Run("MostGroups", func(t *testing.T) {
		o := good()
		for n := range 64 { // as many as a node's configuration allows
			o.Groups = append(o.Groups, fmt.Sprint("g", n))
		}
		if _, err := fleetlink.New(o); err != nil {
			t.Errorf("New returned %v, want nil", err)
		}
	})
	for name, spoil := range map[string]func(*fleetlink.Options){
		"NoSite":     func(o *fleetlink.Options) { o.Site = "" },
		"BadNode":    func(o *fleetlink.Options) { o.Node = "group" },
		"NoBoot":     func(o *fleetlink.Options) { o.Boot = "" },
		"GroupTwice": func(o *fleetlink.Options) { o.Groups = []string{"a", "a"} },
		"NoState":    func(o *fleetlink.Options) { o.State = nil },
		"NoBirth":    func(o *fleetlink.Options) { o.Birth = nil },
		"NoBroker":   func(o *fleetlink.Options) { o.Session.Broker = "" },
	} {
		t.Run(name, func(t *testing.T) {
			o := good()
			spoil(&o)
			if _, err := fleetlink.New(o); err == nil {
				t.Error("New returned nil, want an error")
			}
		})
	}
}
