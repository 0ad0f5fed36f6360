package commands_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/edge/trust"
)

// inBubble runs a test in virtual time, on a node that runs and is closed at its end.
func inBubble(t *testing.T, f *fleet, prepare func(*node), do func(*node)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, f, dir, "boot-1")
		defer func() { n.close() }()
		if prepare != nil {
			prepare(n)
		}
		n.run()
		do(n)
	})
}

// untilCancelled is an effect that ends only when it is told to.
func untilCancelled(ctx context.Context, _ edge.Command) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestRunner_Accept(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	t.Run("OnceAndAgain", func(t *testing.T) {
		inBubble(t, f, func(n *node) {
			n.result = func(edge.Command) json.RawMessage { return json.RawMessage(` {"ok":true,"a":"<"} `) }
		}, func(n *node) {
			envelope := f.sign(f.order("c-1", 1, edge.VerbRestart))
			n.accept(envelope)
			synctest.Wait()
			n.accept(envelope)
			synctest.Wait()
			want(t, "stream", n.said(), []string{"c-1 received", "c-1 started", "c-1 succeeded"})
			want(t, "effects", n.effects(), []string{"c-1"})
			want(t, "told", n.take(), []string{"c-1 succeeded"})
			if r := n.final("c-1"); string(r.Result) != `{"a":"<","ok":true}` || r.Issuer != f.ids[0] || r.Counter != 1 || r.Verb != edge.VerbRestart {
				t.Errorf("reply = %+v", r)
			}
			status := n.runner.Status()
			if status.Counts.Taken != 1 || status.Counts.Repeated != 1 || status.Counts.Finished != 1 || status.Waiting+status.Running != 0 {
				t.Errorf("status = %+v", status)
			}
		})
	})
	t.Run("AcknowledgedBeforeItEnds", func(t *testing.T) {
		inBubble(t, f, func(n *node) { n.do = untilCancelled }, func(n *node) {
			n.accept(f.sign(f.order("c-1", 1, edge.VerbPull)))
			n.accept(f.sign(f.order("c-1", 1, edge.VerbPull)))
			synctest.Wait()
			want(t, "stream", n.said(), []string{"c-1 received", "c-1 started"})
			if told := n.take(); len(told) != 0 {
				t.Errorf("told %q of what still runs", told)
			}
		})
	})
	t.Run("Strangers", func(t *testing.T) {
		inBubble(t, f, nil, func(n *node) {
			other := f.order("c-1", 1, edge.VerbVitals)
			other.Audience.Node = "gw-8"
			payload, err := trust.EncodeCommand(f.order("c-1", 1, edge.VerbVitals))
			must(t, err)
			forged, err := trust.Sign(trust.TypeCommand, payload, ed25519.NewKeyFromSeed(make([]byte, 32)))
			must(t, err)
			for _, envelope := range [][]byte{nil, []byte("hello"), forged, f.sign(other)} {
				n.accept(envelope)
			}
			synctest.Wait()
			want(t, "refused", n.refused, []string{"bad_syntax", "bad_syntax", "unknown_key", "wrong_audience"})
			if told := n.take(); len(told)+len(n.said())+len(n.effects()) != 0 {
				t.Errorf("answered %q %q %q", told, n.said(), n.effects())
			}
		})
	})
	t.Run("Refused", func(t *testing.T) {
		inBubble(t, f, nil, func(n *node) {
			c := f.order("c-1", 1, edge.VerbReboot)
			payload, err := trust.EncodeCommand(c)
			must(t, err)
			alone, err := trust.Sign(trust.TypeCommand, payload, f.keys[0])
			must(t, err)
			n.accept(alone)
			n.accept(f.sign(c)) // the same, whole: what was refused before is no obstacle
			synctest.Wait()
			reused := f.order("c-1", 2, edge.VerbVitals)
			n.accept(f.sign(reused))
			replayed := f.order("c-2", 1, edge.VerbVitals)
			n.accept(f.sign(replayed))
			synctest.Wait()
			want(t, "told", n.take(), []string{"c-1 refused too_few_signatures", "c-1 refused id_reused", "c-2 refused replayed"})
			want(t, "effects", n.effects(), []string{"c-1"})
		})
	})
	t.Run("NoAnswerWithoutRate", func(t *testing.T) {
		inBubble(t, f, nil, func(n *node) {
			envelope := f.sign(f.order("c-1", 1, edge.VerbRestart))
			n.accept(envelope)
			synctest.Wait()
			began := time.Now()
			for range 1000 {
				n.accept(envelope)
			}
			took := time.Since(began)
			if took < 17*time.Second || took > 19*time.Second { // 1001 at 50 a second, 100 at once
				t.Errorf("1000 messages took %v", took)
			}
			if told := len(n.take()); told < 50 || told > 60 { // 2 a second, 20 at once
				t.Errorf("answered %d times", told)
			}
			if silenced := n.runner.Status().Counts.Silenced; silenced < 900 {
				t.Errorf("silenced = %d", silenced)
			}
		})
	})
	t.Run("GarbageIsReportedNowAndThen", func(t *testing.T) {
		inBubble(t, f, nil, func(n *node) {
			for range 1000 {
				n.accept([]byte("garbage"))
			}
			if reports, refused := len(n.refused), n.runner.Status().Counts.Refused; reports > 25 || reports < 20 || refused != 1000 {
				t.Errorf("reported %d of %d refusals", reports, refused)
			}
		})
	})
	t.Run("GivenUp", func(t *testing.T) {
		inBubble(t, f, nil, func(n *node) {
			ctx, cancel := context.WithCancel(n.Context())
			cancel()
			if err := n.runner.Accept(ctx, f.sign(f.order("c-1", 1, edge.VerbRestart))); !errors.Is(err, context.Canceled) {
				t.Errorf("Accept = %v, want %v", err, context.Canceled)
			}
		})
	})
}

func TestRunner_Objections(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	cases := []struct {
		name    string
		prepare func(*node)
		change  func(*edge.Command)
		want    string
	}{
		{"Expired", func(n *node) { n.expired = func(at time.Time) bool { return at.Year() == 2100 } }, nil, "expired expired"},
		{"PolicyTooOld", func(n *node) { n.policy = 3 }, func(c *edge.Command) { c.MinPolicy = 4 }, "refused policy_too_old"},
		{"LeaseEnded", func(n *node) { n.ended = true }, nil, "refused lease_ended"},
		{"LeaseEndedHarmless", func(n *node) { n.ended = true }, func(c *edge.Command) { c.Verb = edge.VerbStart }, "succeeded"},
		{"PolicyNewEnough", func(n *node) { n.policy = 4 }, func(c *edge.Command) { c.MinPolicy = 4 }, "succeeded"},
		{"NothingToCancel", nil, func(c *edge.Command) { c.Verb, c.Supersedes = edge.VerbCancel, "c-0" }, "failed not_found"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, f, c.prepare, func(n *node) {
				order := f.order("c-1", 1, edge.VerbRestart)
				if c.change != nil {
					c.change(&order)
				}
				n.accept(f.sign(order))
				synctest.Wait()
				said := n.said()
				if got := strings.TrimPrefix(said[len(said)-1], "c-1 "); got != c.want {
					t.Errorf("said %q, want %q", got, c.want)
				}
				if begun := slices.Contains(said, "c-1 started"); begun != (c.want == "succeeded") {
					t.Errorf("begun = %v: %q", begun, said)
				}
			})
		})
	}
}

// exited is an error with a name of its own.
type exited int

func (e exited) Error() string { return fmt.Sprintf("code %d", int(e)) }

func (exited) Reason() string { return "exit_code" }

func TestRunner_Outcome(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	object := func(size int) json.RawMessage { return json.RawMessage(`{"x":"` + strings.Repeat("a", size) + `"}`) }
	cases := []struct {
		name   string
		err    error
		result json.RawMessage
		want   string
	}{
		{"NotFound", fmt.Errorf("no workload: %w", edge.ErrNotFound), nil, "failed not_found"},
		{"Unavailable", edge.WithHint(edge.ErrUnavailable, "start containerd"), nil, "failed unavailable"},
		{"Invalid", edge.ErrInvalid, nil, "failed invalid"},
		{"Refusal", &edge.Refusal{Reason: edge.ReasonDraining, Detail: "for now"}, nil, "failed draining"},
		{"Other", errors.New("no"), nil, "failed failed"},
		{"Named", fmt.Errorf("it ended: %w", exited(3)), object(3), "failed exit_code"},
		{"FailedAndNoObject", edge.ErrNotFound, json.RawMessage(`[`), "failed not_found"},
		{"Trust", &trust.Refusal{Reason: trust.ReasonRollback}, nil, "failed rollback"},
		{"Nothing", nil, nil, "succeeded"},
		{"Largest", nil, object(edge.MaxResult - 8), "succeeded"},
		{"TooLarge", nil, object(edge.MaxResult), "failed result_too_large"},
		{"TooLargeWritten", nil, json.RawMessage(`{"x":"` + strings.Repeat("\u2028", edge.MaxResult/3-10) + `"}`), "failed result_too_large"},
		{"FailedTooLargeWritten", edge.ErrModel, json.RawMessage(`{"x":"` + strings.Repeat("\u2028", edge.MaxResult/3-10) + `"}`), "failed model_error"},
		{"NoObject", nil, json.RawMessage(`[1]`), "failed bad_result"},
		{"NoJSON", nil, json.RawMessage(`{`), "failed bad_result"},
		{"TooDeep", nil, json.RawMessage(`{"a":` + strings.Repeat("[", 12) + strings.Repeat("]", 12) + `}`), "failed bad_result"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, f, func(n *node) {
				n.do = func(context.Context, edge.Command) error { return c.err }
				n.result = func(edge.Command) json.RawMessage { return c.result }
			}, func(n *node) {
				n.accept(f.sign(f.order("c-1", 1, edge.VerbRestart)))
				synctest.Wait()
				said := n.said()
				if got := strings.TrimPrefix(said[len(said)-1], "c-1 "); got != c.want {
					t.Errorf("said %q, want %q", got, c.want)
				}
				if got := n.final("c-1").Result; c.name == "Named" && string(got) != string(c.result) {
					t.Errorf("result = %s, want %s though it failed", got, c.result)
				}
				if got := n.final("c-1").Detail; c.name == "Refusal" && got != "for now" {
					t.Errorf("detail = %q, want the reason not to stand in it again", got)
				}
				if got := n.final("c-1").Remedy; got != edge.HintOf(c.err) {
					t.Errorf("remedy = %q, want %q", got, edge.HintOf(c.err))
				}
			})
		})
	}
	t.Run("TooLong", func(t *testing.T) {
		inBubble(t, f, func(n *node) { n.do = untilCancelled }, func(n *node) {
			began, within := time.Now(), edge.Verbs()[edge.VerbScale].Within
			n.accept(f.sign(f.order("c-1", 1, edge.VerbScale)))
			for n.final("c-1").Stage != edge.StageFailed {
				time.Sleep(time.Second)
				synctest.Wait()
			}
			if took := time.Since(began); took < within || took > within+time.Second || n.final("c-1").Reason != "deadline" {
				t.Errorf("ended after %v by %s, want %v and deadline", took, n.final("c-1").Reason, within)
			}
		})
	})
}

func TestRunner_Lanes(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	t.Run("NothingWaitsForPulls", func(t *testing.T) {
		inBubble(t, f, func(n *node) {
			n.do = func(ctx context.Context, c edge.Command) error {
				if c.Verb == edge.VerbPull {
					return untilCancelled(ctx, c)
				}
				return nil
			}
		}, func(n *node) {
			for i := range uint64(6) {
				n.accept(f.sign(f.order(fmt.Sprint("pull-", i), 1+i, edge.VerbPull)))
			}
			n.accept(f.sign(f.order("vitals", 10, edge.VerbVitals)))
			n.accept(f.sign(f.order("stop", 11, edge.VerbStop)))
			cancel := f.order("cancel", 12, edge.VerbCancel)
			cancel.Supersedes = "pull-0"
			n.accept(f.sign(cancel))
			waiting := f.order("cancel-5", 13, edge.VerbCancel)
			waiting.Supersedes = "pull-5"
			n.accept(f.sign(waiting))
			synctest.Wait()
			for id, stage := range map[string]edge.Stage{
				"vitals": edge.StageSucceeded, "stop": edge.StageSucceeded, "cancel": edge.StageSucceeded, "cancel-5": edge.StageSucceeded,
				"pull-0": edge.StageSuperseded, "pull-5": edge.StageSuperseded, "pull-4": edge.StageStarted, "pull-1": edge.StageStarted,
			} {
				if got := n.final(id).Stage; got != stage {
					t.Errorf("%s is %s, want %s", id, got, stage)
				}
			}
			if slices.Contains(n.effects(), "pull-5") {
				t.Error("what was cancelled before it began has begun")
			}
		})
	})
	t.Run("InOrder", func(t *testing.T) {
		inBubble(t, f, func(n *node) {
			n.do = func(ctx context.Context, c edge.Command) error {
				timer := time.NewTimer(time.Duration(20-c.Counter) * time.Second) // the first take longest
				defer timer.Stop()
				<-timer.C
				return nil
			}
		}, func(n *node) {
			var all []string
			for i := range uint64(8) {
				c := f.order(fmt.Sprint("c-", i), 1+i, edge.VerbStart)
				n.accept(f.sign(c))
				all = append(all, c.ID)
			}
			other := f.order("other", 1, edge.VerbStart)
			other.Issuer = f.ids[1]
			n.accept(f.sign(other))
			synctest.Wait()
			want(t, "effects", sorted(n.effects()), []string{"c-0", "other"})
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			want(t, "effects", slices.DeleteFunc(n.effects(), func(id string) bool { return id == "other" }), all)
		})
	})
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

func TestRunner_Supersede(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	t.Run("SucceededAllTheSame", func(t *testing.T) {
		inBubble(t, f, func(n *node) {
			n.do = func(ctx context.Context, c edge.Command) error {
				if c.ID == "c-1" {
					<-ctx.Done()
				}
				return nil
			}
		}, func(n *node) {
			n.accept(f.sign(f.order("c-1", 1, edge.VerbPull)))
			synctest.Wait()
			second := f.order("c-2", 2, edge.VerbPull)
			second.Supersedes = "c-1"
			n.accept(f.sign(second))
			synctest.Wait()
			if first, second := n.final("c-1").Stage, n.final("c-2").Stage; first != edge.StageSucceeded || second != edge.StageSucceeded {
				t.Errorf("stages = %s and %s, want both succeeded", first, second)
			}
		})
	})
	t.Run("BeforeItCame", func(t *testing.T) {
		inBubble(t, f, nil, func(n *node) {
			second := f.order("c-2", 2, edge.VerbStart)
			second.Supersedes = "c-1"
			n.accept(f.sign(second))
			n.accept(f.sign(f.order("c-1", 1, edge.VerbStop)))
			synctest.Wait()
			want(t, "effects", n.effects(), []string{"c-2"})
			if got := n.final("c-1").Stage; got != edge.StageSuperseded {
				t.Errorf("stage = %s, want %s", got, edge.StageSuperseded)
			}
		})
	})
}

func TestRunner_Progress(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	inBubble(t, f, func(n *node) {
		n.far = func(_ edge.Command, progress func(edge.Progress)) {
			for i := range int64(101) {
				progress(edge.Progress{Done: i, Total: 100, Unit: "B"})
				time.Sleep(100 * time.Millisecond)
			}
		}
	}, func(n *node) {
		n.accept(f.sign(f.order("c-1", 1, edge.VerbPull)))
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(n.told) != 6 || n.told[5].Progress.Done != 100 || n.told[0].Stage != edge.StageStarted || n.told[0].Counter != 1 {
			t.Errorf("told %d times: %+v", len(n.told), n.told)
		}
	})
}

func TestRunner_Restart(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	orders := []edge.Command{
		f.order("restart", 1, edge.VerbExec), f.order("pull", 2, edge.VerbPull), f.order("reboot", 3, edge.VerbReboot), f.order("stop", 4, edge.VerbStop),
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, f, dir, "boot-1")
		n.do = untilCancelled
		n.run()
		for _, c := range orders {
			n.accept(f.sign(c))
		}
		synctest.Wait()
		want(t, "effects", sorted(n.effects()), []string{"pull", "reboot", "restart"}) // stop waits for reboot
		n.close()

		n = start(t, f, dir, "boot-2")
		defer func() { n.close() }()
		n.run()
		synctest.Wait()
		want(t, "effects", sorted(n.effects()), []string{"pull", "stop"})
		for id, stage := range map[string]edge.Stage{
			"restart": edge.StageIndeterminate, "pull": edge.StageSucceeded, "reboot": edge.StageSucceeded, "stop": edge.StageSucceeded,
		} {
			if got := n.final(id).Stage; got != stage {
				t.Errorf("%s is %s, want %s", id, got, stage)
			}
		}
	})
	t.Run("RebootThatDidNotHappen", func(t *testing.T) {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			n := start(t, f, dir, "boot-1")
			n.do = untilCancelled
			n.run()
			n.accept(f.sign(orders[2]))
			synctest.Wait()
			n.close()
			n = start(t, f, dir, "boot-1")
			defer func() { n.close() }()
			n.run()
			synctest.Wait()
			if got := n.final("reboot").Stage; got != edge.StageIndeterminate {
				t.Errorf("stage = %s, want %s", got, edge.StageIndeterminate)
			}
		})
	})
	t.Run("TooManyBoots", func(t *testing.T) {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			n := start(t, f, dir, "boot-1") // it never runs
			one, two := f.order("one", 1, edge.VerbStart), f.order("two", 2, edge.VerbStart)
			one.MaxBoots, two.MaxBoots = 1, 2
			n.accept(f.sign(one))
			n.accept(f.sign(two))
			n.close()
			start(t, f, dir, "boot-2").close()
			n = start(t, f, dir, "boot-3")
			defer func() { n.close() }()
			n.run()
			synctest.Wait()
			if one, two := n.final("one"), n.final("two"); one.Stage != edge.StageExpired || one.Reason != "boots" || two.Stage != edge.StageSucceeded {
				t.Errorf("stages = %s %s and %s", one.Stage, one.Reason, two.Stage)
			}
		})
	})
}
