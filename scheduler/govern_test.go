package scheduler

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

var someTenants = []string{"", "vision", "audio", "stranger", edge.DefaultTenant}

// someRules are random ones; one in six bounds nobody.
func someRules(r *rand.Rand) Rules {
	rules := Rules{Policy: "p", Classes: map[edge.Class]ClassRule{}, Tenants: map[string]TenantRule{}, Routes: map[string]RouteRule{}}
	for _, model := range []string{"wide", "narrow", "pair", "down", "nobody's"} {
		rules.Routes[model] = RouteRule{Mode: edge.Routes[r.IntN(len(edge.Routes))]}
	}
	for _, class := range edge.Classes {
		if firm := r.IntN(2) == 0; r.IntN(2) == 0 {
			rules.Classes[class] = ClassRule{Queue: r.IntN(9), Firm: &firm}
		}
	}
	if r.IntN(6) == 0 {
		return rules
	}
	for _, name := range []string{"vision", "audio", edge.DefaultTenant} {
		if r.IntN(4) > 0 {
			rules.Tenants[name] = someRule(r)
		}
	}
	return rules
}

func someRule(r *rand.Rand) TenantRule {
	rule := TenantRule{CPU: []float64{0, 0.1, 1}[r.IntN(3)]}
	if r.IntN(3) > 0 {
		rule.Rate, rule.Burst = edge.Rate{Count: 1 + r.Int64N(200), Per: time.Second}, r.IntN(20)
	}
	for _, class := range edge.Classes {
		if r.IntN(3) == 0 {
			rule.Classes = append(rule.Classes, class)
		}
	}
	for _, model := range []string{"wide", "narrow", "pair"} {
		if r.IntN(3) == 0 {
			rule.Models = append(rule.Models, model)
		}
	}
	return rule
}

// permitted reads the rules anew, as somebody would who has never seen the code.
func permitted(rules Rules, t edge.Task) bool {
	if len(rules.Tenants) == 0 {
		return true
	}
	rule, known := rules.Tenants[t.Tenant]
	if !known {
		rule, known = rules.Tenants[edge.DefaultTenant]
	}
	class := len(rule.Classes) == 0 || slices.Contains(rule.Classes, t.Class)
	model := len(rule.Models) == 0 || slices.Contains(rule.Models, t.Model)
	return known && class && model
}

func governed(t *testing.T, slots int, tenants map[string]TenantRule) *drive {
	t.Helper()
	d := newDrive(t, slots, serving("m", slots, 10*ms), serving("n", slots, 10*ms))
	d.govern(Rules{Policy: "line-3 version 42", Tenants: tenants})
	return d
}

func (d *drive) report(name string) edge.TenantReport {
	all := d.core.snapshot(d.now).Tenants
	i := slices.IndexFunc(all, func(r edge.TenantReport) bool { return r.Tenant == name })
	if i < 0 {
		d.tb.Fatalf("tenant %q is not reported: %+v", name, all)
	}
	return all[i]
}

func perSecond(count int64, burst int) TenantRule {
	return TenantRule{Rate: edge.Rate{Count: count, Per: time.Second}, Burst: burst}
}

func TestCore_Denies(t *testing.T) {
	d := governed(t, 1, map[string]TenantRule{
		"vision": {Models: []string{"m"}, Classes: []edge.Class{edge.Normal, edge.Batch}},
	})
	for name, test := range map[string]struct {
		tenant, model string
		class         edge.Class
		detail        string
	}{
		"Tenant":       {"audio", "m", edge.Normal, `tenants of policy line-3 version 42 names neither "audio" nor _default`},
		"NoTenant":     {"", "m", edge.Normal, `tenants of policy line-3 version 42 names neither "" nor _default`},
		"Model":        {"vision", "n", edge.Normal, `tenants.vision.models of policy line-3 version 42 does not name "n"`},
		"Class":        {"vision", "m", edge.Urgent, `tenants.vision.classes of policy line-3 version 42 does not name urgent`},
		"ModelUnknown": {"vision", "secret", edge.Normal, `tenants.vision.models of policy line-3 version 42 does not name "secret"`},
	} {
		t.Run(name, func(t *testing.T) {
			d.tenant = test.tenant
			_, err := d.submit(name, test.model, test.class, time.Second)
			if refusal := assertRefused(t, err, edge.ReasonDenied); refusal.Detail != test.detail || refusal.RetryAfter != 0 {
				t.Errorf("got %+v, want detail %s", refusal, test.detail)
			}
		})
	}
	d.tenant = "vision"
	d.mustSubmit("good", "m", edge.Normal, time.Second)
	if got, want := d.report("vision"), (edge.TenantReport{Tenant: "vision", Submitted: 4, Denied: 3}); got != want {
		t.Errorf("vision is %+v, want %+v", got, want)
	}
	if got, want := d.report(edge.DefaultTenant), (edge.TenantReport{Tenant: edge.DefaultTenant, Submitted: 2, Denied: 2, Shut: true}); got != want {
		t.Errorf("the others are %+v, want %+v", got, want)
	}
	if d.govern(Rules{}); d.core.snapshot(d.now).Tenants != nil {
		t.Error("tenants are reported though nobody is bounded")
	}
	d.tenant = "audio"
	d.mustSubmit("anybody", "n", edge.Urgent, time.Second)
}

func TestCore_Quota(t *testing.T) {
	t.Run("SaysExactlyWhenTheNextTokenIsThere", func(t *testing.T) {
		d := governed(t, 4, map[string]TenantRule{"vision": perSecond(3, 2)})
		d.tenant = "vision"
		d.mustSubmit("a", "m", edge.Batch, 0)
		d.mustSubmit("b", "m", edge.Batch, 0)
		_, err := d.submit("c", "m", edge.Batch, 0)
		refusal := assertRefused(t, err, edge.ReasonOverQuota)
		if want := time.Duration(333_333_334); refusal.RetryAfter != want {
			t.Errorf("retry after %v, want %v", refusal.RetryAfter, want)
		}
		if want := "tenants.vision.rate of policy line-3 version 42 is 3/s, and 2 at once"; refusal.Detail != want {
			t.Errorf("detail is %s, want %s", refusal.Detail, want)
		}
		d.now += instant(refusal.RetryAfter) - 1
		_, err = d.submit("c", "m", edge.Batch, 0)
		if left := assertRefused(t, err, edge.ReasonOverQuota).RetryAfter; left != 1 {
			t.Errorf("retry after %v, want 1ns", left)
		}
		d.now++
		d.mustSubmit("c", "m", edge.Batch, 0)
		want := edge.TenantReport{Tenant: "vision", Submitted: 5, OverQuota: 2, Rate: edge.Rate{Count: 3, Per: time.Second}, Burst: 2}
		if got := d.report("vision"); got != want {
			t.Errorf("vision is %+v, want %+v", got, want)
		}
	})
	t.Run("NoTokenForWhatIsRefusedOrOnlyAsked", func(t *testing.T) {
		d := governed(t, 1, map[string]TenantRule{"vision": {Rate: edge.Rate{Count: 1, Per: time.Hour}, Burst: 1, Models: []string{"m", "gone"}}})
		d.tenant = "vision"
		_, err := d.submit("tight", "m", edge.Normal, ms)
		assertRefused(t, err, edge.ReasonDeadlineUnreachable)
		_, err = d.submit("past", "m", edge.Normal, -ms)
		assertRefused(t, err, edge.ReasonDeadlinePassed)
		_, err = d.submit("unknown", "gone", edge.Normal, 0)
		assertRefused(t, err, edge.ReasonUnknownModel)
		_, err = d.submit("denied", "n", edge.Normal, 0)
		assertRefused(t, err, edge.ReasonDenied)
		asked := &item{task: edge.Task{ID: "x", Model: "m", Class: edge.Normal, Tenant: "vision"}, deadline: forever}
		before := d.report("vision")
		if err := d.core.explain(d.now, asked); err != nil {
			t.Fatal(err)
		}
		if after := d.report("vision"); after != before || after.Tokens != 1 {
			t.Errorf("asking changed %+v to %+v", before, after)
		}
		d.mustSubmit("a", "m", edge.Normal, 0)
		_, err = d.submit("b", "m", edge.Normal, 0)
		told := assertRefused(t, err, edge.ReasonOverQuota)
		before = d.report("vision")
		if said := assertRefused(t, d.core.explain(d.now, asked), edge.ReasonOverQuota); *said != *told {
			t.Errorf("asked: %+v, submitted: %+v", said, told)
		}
		if after := d.report("vision"); after != before {
			t.Errorf("asking changed %+v to %+v", before, after)
		}
	})
	t.Run("InventedNamesShareOneBucket", func(t *testing.T) {
		d := governed(t, 1, map[string]TenantRule{"vision": {}, edge.DefaultTenant: perSecond(1, 5)})
		for i, name := range []string{"", edge.DefaultTenant, "a", "b", "c"} {
			d.tenant = name
			d.mustSubmit(fmt.Sprint(i), "m", edge.Batch, 0)
		}
		for i := range 1000 {
			d.tenant = fmt.Sprint("invented", i)
			_, err := d.submit(d.tenant, "m", edge.Batch, 0)
			assertRefused(t, err, edge.ReasonOverQuota)
		}
		if got := d.report(edge.DefaultTenant); got.Submitted != 1005 || got.OverQuota != 1000 {
			t.Errorf("counted as %+v", got)
		}
		if got := len(d.core.tenants.named) + len(d.core.tenants.gone); got != 2 {
			t.Errorf("%d tenants are remembered, want the 2 of the policy", got)
		}
		d.tenant = "vision"
		d.mustSubmit("unbounded", "m", edge.Batch, 0)
	})
}

func TestCore_GovernTokens(t *testing.T) {
	spent := func(t *testing.T) *drive {
		d := governed(t, 1, map[string]TenantRule{"vision": perSecond(1, 10)})
		d.tenant = "vision"
		for i := range 8 {
			d.mustSubmit(fmt.Sprint(i), "m", edge.Batch, 0)
		}
		return d
	}
	for name, test := range map[string]struct {
		between []Rules
		rule    TenantRule
		want    int
	}{
		"TheSameAgain":     {nil, perSecond(1, 10), 2},
		"Shrunk":           {nil, perSecond(1, 5), 1},
		"Grown":            {nil, perSecond(50, 100), 2},
		"GoneForAWhile":    {[]Rules{{Tenants: map[string]TenantRule{"audio": {}}}}, perSecond(1, 10), 2},
		"Ungoverned":       {[]Rules{{}, {}}, perSecond(1, 10), 2},
		"WithoutARate":     {[]Rules{{Tenants: map[string]TenantRule{"vision": {}}}}, perSecond(1, 10), 2},
		"ShrunkAndBack":    {[]Rules{{Tenants: map[string]TenantRule{"vision": perSecond(1, 5)}}}, perSecond(1, 10), 1},
		"TwoGenerationsOn": {[]Rules{{Tenants: map[string]TenantRule{"a": {}}}, {Tenants: map[string]TenantRule{"b": {}}}}, perSecond(1, 10), 2},
	} {
		t.Run(name, func(t *testing.T) {
			d := spent(t)
			for _, rules := range test.between {
				d.govern(rules)
			}
			d.govern(Rules{Tenants: map[string]TenantRule{"vision": test.rule}})
			if got := d.report("vision"); got.Tokens != test.want || got.Submitted != 8 {
				t.Errorf("%+v, want %d tokens", got, test.want)
			}
		})
	}
	t.Run("MemoryOfWhatIsGoneIsBounded", func(t *testing.T) {
		d := newDrive(t, 1, serving("m", 1, ms))
		for round := range 20 {
			many := map[string]TenantRule{}
			for i := range 500 {
				many[fmt.Sprint(round, "-", i)] = perSecond(1, 2)
			}
			d.govern(Rules{Tenants: many})
			for name := range many {
				d.tenant = name
				d.mustSubmit(name, "m", edge.Batch, 0)
			}
		}
		if got := len(d.core.tenants.gone); got > maxGone {
			t.Errorf("%d tenants are remembered of earlier rules", got)
		}
		d.now += instant(time.Minute)
		d.govern(Rules{})
		d.govern(Rules{})
		if got := len(d.core.tenants.gone); got != 0 {
			t.Errorf("%d tenants with full buckets are remembered", got)
		}
	})
}

func TestCore_GovernRechecks(t *testing.T) {
	t.Run("TellsWhatIsDeniedAndLeavesWhatRuns", func(t *testing.T) {
		d := governed(t, 1, map[string]TenantRule{"vision": perSecond(10, 10), "audio": {}})
		d.tenant = "vision"
		runs, waits := d.mustSubmit("runs", "m", edge.Normal, time.Second), d.mustSubmit("waits", "m", edge.Normal, time.Second)
		d.tenant = "audio"
		stays := d.mustSubmit("stays", "m", edge.Normal, time.Second)
		d.govern(Rules{Policy: "line-3 version 43", Tenants: map[string]TenantRule{"audio": {}}})
		assertOutcome(t, waits, edge.Evicted)
		refusal := assertRefused(t, waits.settlement.Err, edge.ReasonDenied)
		if want := `tenants of policy line-3 version 43 names neither "vision" nor _default`; refusal.Detail != want {
			t.Errorf("detail is %s, want %s", refusal.Detail, want)
		}
		if got := d.report(edge.DefaultTenant); got.Denied != 1 {
			t.Errorf("counted as %+v, want 1 denied", got)
		}
		d.run()
		if !errors.Is(runs.settlement.Err, errTeachesNothing) || stays.started != instant(10*ms) {
			t.Errorf("what runs ended with %v, the next began at %v", runs.settlement.Err, time.Duration(stays.started))
		}
	})
	t.Run("ShrunkBoundsLoseNone", func(t *testing.T) {
		d := governed(t, 1, map[string]TenantRule{"vision": perSecond(10, 10)})
		d.tenant = "vision"
		for i := range 6 {
			d.mustSubmit(fmt.Sprint(i), "m", edge.Normal, time.Second)
		}
		d.govern(Rules{
			Classes: map[edge.Class]ClassRule{edge.Normal: {Queue: 2}},
			Tenants: map[string]TenantRule{"vision": perSecond(1000, 1000)},
		})
		_, err := d.submit("late", "m", edge.Normal, time.Second)
		refusal := assertRefused(t, err, edge.ReasonQueueFull)
		if refusal.RetryAfter != 40*ms || !strings.Contains(refusal.Detail, "5 tasks of class normal") {
			t.Errorf("got %+v, want to be sent back until the fourth of the five that wait starts", refusal)
		}
		d.duration = func(*item) (time.Duration, error) { return 10 * ms, nil }
		d.govern(Rules{Tenants: map[string]TenantRule{"vision": {Rate: edge.Rate{Count: 1, Per: time.Hour}}}})
		d.run()
		if got := d.count(edge.Evicted) + d.count(edge.Missed); got != 0 || starts(d) != "0 1 2 3 4 5" {
			t.Errorf("%d lost, started %s", got, starts(d))
		}
		if d.core.limits[edge.Normal] != d.core.configured[edge.Normal] {
			t.Error("a bound the rules do not name any more is still in force")
		}
	})
	t.Run("FirmSwitchesTheFigure", func(t *testing.T) {
		d := newDrive(t, 1, serving("m", 1, ms))
		d.teach("m", spread...)
		yes, no := true, false
		d.govern(Rules{Classes: map[edge.Class]ClassRule{edge.Urgent: {Firm: &no}, edge.Normal: {Firm: &yes}}})
		_, err := d.submit("normal", "m", edge.Normal, 20*ms)
		assertRefused(t, err, edge.ReasonDeadlineUnreachable)
		d.mustSubmit("urgent", "m", edge.Urgent, 20*ms)
		waits := d.mustSubmit("waits", "m", edge.Urgent, 25*ms)
		d.govern(Rules{}) // the careful figure of 22 ms would not let it in now
		if e := d.core.queue.entries()[0]; waits.phase != waiting || e.item != waits || e.cost() != 22*ms {
			t.Errorf("phase %d, counted with %v: want it to wait on, counted with 22ms", waits.phase, e.cost())
		}
	})
}

// TestCore_GovernKeepsWhatIsAllowed: after a change exactly those wait that waited and
// are permitted, in their order, and the others have been told.
func TestCore_GovernKeepsWhatIsAllowed(t *testing.T) {
	kept, lost := 0, 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 23))
		d := newDrive(t, 1+r.IntN(3), serving("wide", 2, 5*ms), serving("narrow", 1, 9*ms), serving("pair", 2, 23*ms))
		for i := range 40 {
			d.tenant = someTenants[r.IntN(len(someTenants))]
			_, _ = randomSubmit(d, r, fmt.Sprint(i))
		}
		rules, want := someRules(r), []*item(nil)
		for _, e := range d.core.queue.entries() {
			if permitted(rules, e.item.task) {
				want = append(want, e.item)
			}
		}
		before, runners := d.core.queue.len(), slices.Clone(d.core.runners)
		told := len(d.ended)
		d.govern(rules)
		var got []*item
		for _, e := range d.core.queue.entries() {
			got = append(got, e.item)
		}
		if !slices.Equal(got, want) || !slices.Equal(d.core.runners, runners) {
			t.Fatalf("seed %d: %d of %d wait, want %d", seed, len(got), before, len(want))
		}
		for _, it := range d.ended[told:] {
			assertOutcome(t, it, edge.Evicted)
			assertRefused(t, it.settlement.Err, edge.ReasonDenied)
		}
		if len(d.ended)-told != before-len(want) {
			t.Fatalf("seed %d: %d told, want %d", seed, len(d.ended)-told, before-len(want))
		}
		kept, lost = kept+len(want), lost+before-len(want)
	}
	if kept < 100 || lost < 100 {
		t.Errorf("%d kept and %d lost: the test does not test", kept, lost)
	}
}

// TestCore_AdmitsWithinTheRate counts what is let in over random rules and times, and
// compares each verdict about permission with the rules read anew.
func TestCore_AdmitsWithinTheRate(t *testing.T) {
	over := 0
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 31))
		rules := someRules(r)
		d := newDrive(t, 3, serving("wide", 3, ms), serving("narrow", 3, ms), serving("pair", 3, ms))
		d.govern(rules)
		grants := map[string][]grant{}
		for i := range 300 {
			d.now += instant(r.IntN(5)) * instant(ms)
			d.core.tick(d.now)
			d.act()
			d.tenant = someTenants[r.IntN(len(someTenants))]
			it, err := randomSubmit(d, r, fmt.Sprint(i))
			refusal, refused := edge.AsRefusal(err)
			if denied := refused && refusal.Reason == edge.ReasonDenied; denied == permitted(rules, it.task) {
				t.Fatalf("seed %d: task of %q: %v, and permitted is %v", seed, d.tenant, err, !denied)
			}
			entry := d.core.tenants.of(d.tenant)
			if !refused && entry != nil && entry.bounded {
				gain := entry.rule.Rate.Count * 3600
				grants[entry.name] = append(grants[entry.name], grant{d.now, 1, int64(capacity(entry.rule.Rate, entry.rule.Burst)), gain})
			}
			if refused && refusal.Reason == edge.ReasonOverQuota {
				over++
			}
		}
		for name, given := range grants {
			if overdrawn(given) {
				t.Fatalf("seed %d: tenant %q was let in beyond its rate", seed, name)
			}
		}
	}
	if over < 100 {
		t.Errorf("%d tasks over quota: the test does not test", over)
	}
}

func TestRulesOf(t *testing.T) {
	if got := RulesOf(nil); got.Tenants != nil || got.Classes != nil || got.Policy != "" {
		t.Errorf("no policy gives %+v", got)
	}
	firm := true
	rate := edge.Rate{Count: 50, Per: time.Second}
	rules := RulesOf(&edge.Policy{
		Metadata: edge.Metadata{Name: "line-3", Version: 42},
		Classes:  map[edge.Class]edge.ClassPolicy{edge.Normal: {Queue: 9, Firm: &firm}},
		Tenants:  map[string]edge.TenantPolicy{"vision": {Rate: rate, Burst: 7, Models: []string{"m"}, Classes: []edge.Class{edge.Batch}}},
	})
	own := rules.clone()
	firm, rules.Tenants["vision"].Models[0], rules.Tenants["vision"].Classes[0] = false, "x", edge.Urgent
	rules.Classes[edge.Normal] = ClassRule{}
	rules.Tenants["audio"] = TenantRule{}
	want := TenantRule{Rate: rate, Burst: 7, Models: []string{"m"}, Classes: []edge.Class{edge.Batch}}
	if got := own.Tenants["vision"]; fmt.Sprint(got) != fmt.Sprint(want) || own.Policy != "line-3 version 42" {
		t.Errorf("vision is %+v of %q, want %+v", got, own.Policy, want)
	}
	if got := own.Classes[edge.Normal]; got.Queue != 9 || !*got.Firm || len(own.Tenants) != 1 {
		t.Errorf("the scheduler's own rules changed with the caller's: %+v", own)
	}
}
