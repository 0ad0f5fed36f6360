package trust_test

import (
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/trust"
)

// at is a day of a year nobody here lives in.
func at(day int) time.Time { return time.Date(2030, time.January, day, 0, 0, 0, 0, time.UTC) }

func TestClock_Now(t *testing.T) {
	clock := trust.Clock{Built: at(1)}
	for name, test := range map[string]struct {
		clock trust.Clock
		wall  time.Time
		want  time.Time
	}{
		"Started1970":      {clock, time.Unix(0, 0), at(1)},
		"WallIsAhead":      {clock, at(9), at(9)},
		"StoredIsLater":    {trust.Clock{Built: at(1), Stored: at(3)}, at(2), at(3)},
		"SignedIsLater":    {trust.Clock{Built: at(1), Stored: at(3), Signed: at(5)}, at(2), at(5)},
		"MeasuredSince":    {clock.Hear(at(5)).Tick(48 * time.Hour), at(2), at(7)},
		"OlderSignedIsNot": {clock.Hear(at(5)).Hear(at(4)), at(2), at(5)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.clock.Now(test.wall); !got.Equal(test.want) {
				t.Errorf("now = %v, want %v", got, test.want)
			}
		})
	}
}

func TestClock_Expired(t *testing.T) {
	heard := trust.Clock{Built: at(1)}.Hear(at(5))
	for name, test := range map[string]struct {
		clock   trust.Clock
		instant time.Time
		wall    time.Time
		want    bool
	}{
		"Past":                    {heard, at(4), at(5), true},
		"Ahead":                   {heard, at(6), at(5), false},
		"PastByABelievedWall":     {heard, at(5).Add(time.Hour), at(6), true},
		"TheJumpIsNotBelieved":    {heard, at(8), at(20), false},
		"YetWhatIsCertainIsPast":  {heard, at(4), at(20), true},
		"MeasuredTimeIsBelieved":  {heard.Tick(15 * 24 * time.Hour), at(8), at(20), true},
		"WallWentBack":            {heard, at(4), time.Unix(0, 0), true},
		"NobodySigned":            {trust.Clock{Built: at(1)}, at(3), at(20), false},
		"NobodySignedOneDayAhead": {trust.Clock{Built: at(1)}, at(1).Add(time.Hour), at(2), true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.clock.Expired(test.instant, test.wall); got != test.want {
				t.Errorf("expired = %v, want %v (floor %v)", got, test.want, test.clock.Floor())
			}
		})
	}
}

func TestClock_Keep(t *testing.T) {
	heard := trust.Clock{Built: at(1)}.Hear(at(5))
	if got := heard.Keep(at(6)).Floor(); !got.Equal(at(6)) {
		t.Errorf("a believed wall clock: floor %v, want %v", got, at(6))
	}
	if got := heard.Keep(at(300)).Floor(); !got.Equal(at(5)) {
		t.Errorf("a wall clock set ahead became the floor: %v", got)
	}
	if got := heard.Keep(at(6)).Keep(at(2)).Floor(); !got.Equal(at(6)) {
		t.Errorf("the floor went back: %v", got)
	}
	if got := heard.Tick(-time.Hour).Floor(); !got.Equal(at(5)) {
		t.Errorf("time measured backwards: %v", got)
	}
	if got := heard.Keep(at(6)).Forget().Floor(); !got.Equal(at(1)) {
		t.Errorf("forgotten, the floor is %v, want that of the build", got)
	}
}

func TestLease(t *testing.T) {
	terms := edge.LeaseTerms{Hours: 10, Boots: 3}
	whole := trust.NewLease(terms)
	check := func(t *testing.T, lease trust.Lease, hours float64, boots int, state trust.LeaseState) {
		t.Helper()
		if lease.HoursLeft() != hours || lease.BootsLeft != boots || lease.State() != state {
			t.Errorf("lease = %v hours, %d boots, %s; want %v, %d, %s", lease.HoursLeft(), lease.BootsLeft, lease.State(), hours, boots, state)
		}
	}
	t.Run("Whole", func(t *testing.T) { check(t, whole, 10, 3, trust.LeaseOK) })
	t.Run("HoursRunOut", func(t *testing.T) {
		check(t, whole.Tick(9*time.Hour), 1, 3, trust.LeaseOK)
		check(t, whole.Tick(9*time.Hour).Tick(time.Hour), 0, 3, trust.LeaseDegraded)
		check(t, whole.Tick(900*time.Hour), 0, 3, trust.LeaseDegraded)
	})
	t.Run("BootsRunOut", func(t *testing.T) {
		check(t, whole.Boot().Boot(), 10, 1, trust.LeaseOK)
		check(t, whole.Boot().Boot().Boot().Boot(), 10, 0, trust.LeaseDegraded)
	})
	t.Run("TimeDoesNotRunBack", func(t *testing.T) { check(t, whole.Tick(time.Hour).Tick(-5*time.Hour), 9, 3, trust.LeaseOK) })
	t.Run("OnlyAVerifiedTokenRefreshes", func(t *testing.T) {
		s, used := newScene(t), whole.Tick(20*time.Hour).Boot()
		token, err := trust.VerifyFreshness(s.root, s.fresh("gw-7", ourNonce), ourNonce, "gw-7")
		if err != nil {
			t.Fatal(err)
		}
		check(t, used.Refresh(token), 10, 3, trust.LeaseOK)
		check(t, used.Refresh(nil), 0, 2, trust.LeaseDegraded)
		check(t, used.Refresh(&trust.Token{Nonce: ourNonce, Node: "gw-7", Time: at(1)}), 0, 2, trust.LeaseDegraded)
	})
	t.Run("NewTermsKeepWhatIsUsed", func(t *testing.T) {
		used := whole.Tick(4 * time.Hour).Boot()
		check(t, used.Adopt(terms), 6, 2, trust.LeaseOK)
		check(t, used.Adopt(edge.LeaseTerms{Hours: 20, Boots: 9}), 16, 8, trust.LeaseOK)
		check(t, used.Adopt(edge.LeaseTerms{Hours: 3, Boots: 9}), 0, 8, trust.LeaseDegraded)
		check(t, trust.Lease{}.Adopt(terms), 10, 3, trust.LeaseOK)
	})
	t.Run("NoLeaseAtAllIsDegraded", func(t *testing.T) { check(t, trust.Lease{}, 0, 0, trust.LeaseDegraded) })
}
