package desk_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/fleet/desk"
	"holdfast/edge/trust"
	"holdfast/mqtt"
)

// fleetRoot is a root document under which one key has every role.
func fleetRoot(tb testing.TB, key trust.Key) *trust.Root {
	tb.Helper()
	grants := map[trust.Role]trust.Grant{}
	for _, role := range trust.Roles {
		grants[role] = trust.Grant{KeyIDs: []string{key.ID}, Threshold: 1}
	}
	root, err := trust.NewRoot(1, []trust.Key{key}, grants)
	if err != nil {
		tb.Fatal(err)
	}
	return root
}

// attendance is Attend under test, with the root that nodes believe it by.
type attendance struct {
	tb      testing.TB
	address string
	path    string
	folder  *desk.Folder
	desk    *desk.Desk
	root    *trust.Root
	a       desk.Attendance
	deeds   chan desk.Deed
}

func newAttendance(tb testing.TB, address string) *attendance {
	tb.Helper()
	path := tb.TempDir()
	folder, err := desk.OpenFolder(path)
	if err != nil {
		tb.Fatal(err)
	}
	key := newKey(tb)
	public, err := trust.KeyOf(key)
	if err != nil {
		tb.Fatal(err)
	}
	at := &attendance{tb: tb, address: address, path: path, folder: folder, desk: newDesk(tb, address), root: fleetRoot(tb, public), deeds: make(chan desk.Deed, 1<<16)}
	at.a = desk.Attendance{Folder: folder, Freshness: key, Root: at.root, Tell: func(d desk.Deed) { at.deeds <- d }}
	return at
}

// start attends until the returned function is called.
func (at *attendance) start() (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- at.desk.Attend(ctx, at.a) }()
	at.tb.Cleanup(cancel)
	return func() error { cancel(); return <-ended }
}

// confirmed waits until a node was told that all up to a number is kept.
func (at *attendance) confirmed(n *node, seq uint64) {
	at.tb.Helper()
	eventually(at.tb, fmt.Sprintf("%s is confirmed through %d", n.name, seq), func() bool { return at.through(n) == seq })
}

// through is the last that a node was told to be kept.
func (at *attendance) through(n *node) (seq uint64) {
	at.tb.Helper()
	for _, envelope := range n.got(mqtt.DownAck) {
		c, err := trust.VerifyConfirmation(at.root, envelope, n.name)
		if err != nil {
			at.tb.Fatalf("a node does not believe the confirmation: %v", err)
		}
		seq = c.Seq
	}
	return seq
}

func (n *node) events(numbers ...uint64) {
	for _, seq := range numbers {
		n.say(mqtt.UpEvent, n.envelope(seq, "event", `{"kind":"x"}`))
	}
}

func (n *node) hello(more string) {
	n.say(mqtt.UpHello, fmt.Sprintf(`{"node":%q,"session":"s1","nonce":"0123456789abcdef","rootVersion":1%s}`, n.name, more))
}

// ready waits until the attendance hears: what it has not subscribed to yet is lost.
func (at *attendance) ready(n *node) {
	at.tb.Helper()
	eventually(at.tb, "hellos are answered", func() bool {
		n.hello(`,"policyVersion":9`)
		return len(n.got(mqtt.DownFresh)) > 0
	})
}

func TestDesk_Attend_History(t *testing.T) {
	eachBroker(t, func(t *testing.T, address string) {
		at := newAttendance(t, address)
		stop := at.start()
		n := startNode(t, address, "gw-1", nil)
		n.birth("")
		at.ready(n)

		n.events(1, 2, 2, 1)
		at.confirmed(n, 2)
		n.events(4, 6) // a hole, and another
		n.say(mqtt.UpEvent, n.envelope(5, "gap", `{"from":5,"to":7}`))
		n.say(mqtt.UpEvent, "garbage")
		n.say(mqtt.UpReply, strings.Replace(n.envelope(3, "reply", `{}`), "gw-1", "gw-2", 1))
		n.events(2) // shows that the confirmation was not heard
		eventually(t, "all was taken", func() bool { return len(lines(t, at.path, "gw-1")) == 4 })
		if got := at.through(n); got != 2 {
			t.Errorf("confirmed through %d beyond a hole, want 2", got)
		}
		n.say(mqtt.UpEvent, n.envelope(5, "gap", `{"from":3,"to":5,"count":1,"why":"memory"}`))
		at.confirmed(n, 6)
		if err := stop(); err != nil {
			t.Errorf("Attend = %v, want nil", err)
		}
		if got := len(lines(t, at.path, "gw-1")); got != 5 {
			t.Errorf("%d lines are kept, want 1, 2, 4, 6 and the gap", got)
		}
		if got, err := desk.KeptThrough(at.folder, "gw-1", epoch); err != nil || got != 6 {
			t.Errorf("read anew it is kept through %d (%v), want 6", got, err)
		}
	})
}

// TestDesk_Attend_Again: an attendance that ended in the middle of a line goes on, drops
// what it has, and gets from the broker what came meanwhile.
func TestDesk_Attend_Again(t *testing.T) {
	eachBroker(t, func(t *testing.T, address string) {
		at := newAttendance(t, address)
		stop := at.start()
		n := startNode(t, address, "gw-1", nil)
		n.birth("")
		at.ready(n)
		n.events(1, 2, 3)
		at.confirmed(n, 3)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(at.path, "history", "gw-1", epoch+".jsonl")
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(whole, n.envelope(4, "event", `{"kind":"x"}`)[:70]...), 0o600); err != nil {
			t.Fatal(err)
		}
		n.events(3, 4, 5)
		stop = at.start()
		at.confirmed(n, 5)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if got := lines(t, at.path, "gw-1"); len(got) != 5 || !strings.HasPrefix(strings.Join(got, "\n")+"\n", string(whole)) {
			t.Errorf("%d lines are kept, want the old three and two more", len(got))
		}
	})
}

// TestDesk_Attend_Baseline: what a node was done with before does not come any more.
func TestDesk_Attend_Baseline(t *testing.T) {
	address := embedded(t)
	at := newAttendance(t, address)
	stop := at.start()
	n := startNode(t, address, "gw-1", nil)
	n.birth("")
	at.ready(n)
	n.events(8)
	n.hello(`,"policyVersion":9,"streams":[{"name":"control","epoch":"` + epoch + `","next":9,"confirmed":7},{"name":"x","epoch":"../../etc/passwd0","next":9,"confirmed":7}]`)
	at.confirmed(n, 8)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, at.path, "gw-1"); len(got) != 2 || got[1] != `{"desk":"baseline","from":1,"to":7}` {
		t.Errorf("kept is %q, want the entry and where history begins", got)
	}
	if got, err := desk.KeptThrough(at.folder, "gw-1", epoch); err != nil || got != 8 {
		t.Errorf("read anew it is kept through %d (%v), want 8", got, err)
	}
}

// TestDesk_Attend_Later: a node that was there before hears that somebody attends, and
// one that has left does not.
func TestDesk_Attend_Later(t *testing.T) {
	address := embedded(t)
	n, gone := startNode(t, address, "gw-1", nil), startNode(t, address, "gw-2", nil)
	streams := `,"outbox":[{"name":"control","epoch":"` + epoch + `","next":9,"confirmed":7}]`
	n.birth(streams)
	gone.birth(streams)
	gone.say(mqtt.UpPresence, `{"node":"gw-2","online":false,"session":"s1"`+streams+`}`)
	at := newAttendance(t, address)
	stop := at.start()
	eventually(t, "who was there is greeted", func() bool { return len(n.got(mqtt.DownAck)) > 0 })
	if got := at.through(n); got != 0 {
		t.Errorf("confirmed through %d on the word of a birth, want nothing", got)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := gone.got(mqtt.DownAck); len(got) > 0 {
		t.Errorf("who has left was told %s, want nothing", got)
	}
}

// TestDesk_Attend_Hello: a node that comes back hears what the fleet's news is, and gets
// what it lacks.
func TestDesk_Attend_Hello(t *testing.T) {
	eachBroker(t, func(t *testing.T, address string) {
		at := newAttendance(t, address)
		old, fresh := at.policy(2, "first"), at.policy(3, "first")
		for _, d := range [][]byte{old, fresh, at.policy(7, "second")} {
			at.keepPolicy(d)
		}
		taken := sign(t, at.folder, restart("taken"), at.a.Freshness)
		missing := sign(t, at.folder, restart("missing"), at.a.Freshness)
		late := restart("late")
		late.Expires = -time.Minute
		sign(t, at.folder, late, at.a.Freshness)
		foreign := restart("foreign")
		foreign.Audience = edge.Audience{Node: "gw-2"}
		sign(t, at.folder, foreign, at.a.Freshness)
		command, _, err := desk.OpenCommand(taken)
		if err != nil {
			t.Fatal(err)
		}

		stop := at.start()
		n := startNode(t, address, "gw-1", nil)
		n.birth("")
		seen := fmt.Sprintf(`,"seen":[{"issuer":%q,"floor":0,"counters":[%d]}]`, command.Issuer, command.Counter)
		eventually(t, "the hello is answered", func() bool {
			n.hello(`,"policyVersion":2` + seen)
			return len(n.got(mqtt.DownFresh)) > 0 && len(n.got(mqtt.DownCommand)) > 0 && len(n.got(mqtt.DownPolicy)) > 0
		})
		token, err := trust.VerifyFreshness(at.root, n.got(mqtt.DownFresh)[0], "0123456789abcdef", "gw-1")
		if err != nil || token.PolicyVersion != 3 || token.RootVersion != 1 {
			t.Errorf("the token is %+v, %v; want policy 3 and root 1", token, err)
		}
		for _, got := range n.got(mqtt.DownCommand) {
			if string(got) != string(missing) {
				t.Errorf("the node got a command it has, or that is over or not its own: %s", got)
			}
		}
		for _, got := range n.got(mqtt.DownPolicy) {
			if string(got) != string(fresh) {
				t.Errorf("the node got %s, want the newest for it", got)
			}
		}
		const last = "ffffffffffffffff"
		n.say(mqtt.UpHello, `{"node":"gw-1","session":"s1","nonce":"`+last+`","rootVersion":1,"policyVersion":3`+seen+`}`)
		eventually(t, "the last hello is answered", func() bool {
			tokens := n.got(mqtt.DownFresh)
			_, err := trust.VerifyFreshness(at.root, tokens[len(tokens)-1], last, "gw-1")
			return err == nil
		})
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if policies, hellos := len(n.got(mqtt.DownPolicy)), len(n.got(mqtt.DownFresh)); policies != hellos-1 {
			t.Errorf("%d hellos brought %d policies, want one for each but the last, of a node that has the newest", hellos, policies)
		}
	})
}

// policy is a signed policy for a group.
func (at *attendance) policy(version int, group string) []byte {
	at.tb.Helper()
	payload := fmt.Sprintf(`{"apiVersion":"holdfast/v1","kind":"Policy","metadata":{"name":"line","version":%d,"audience":{"group":%q}},"lease":{"hours":720,"boots":200}}`, version, group)
	envelope, err := trust.Sign(trust.TypePolicy, []byte(payload), at.a.Freshness)
	if err != nil {
		at.tb.Fatal(err)
	}
	return envelope
}

func (at *attendance) keepPolicy(envelope []byte) {
	at.tb.Helper()
	name := desk.DigestOf(envelope)[7:15] + ".json"
	if err := os.WriteFile(filepath.Join(at.path, "policies", name), envelope, 0o600); err != nil {
		at.tb.Fatal(err)
	}
}

// TestDesk_Attend_Believes: a policy that the root does not make nodes believe is not
// spread, nor is anything that is no policy.
func TestDesk_Attend_Believes(t *testing.T) {
	address := embedded(t)
	at := newAttendance(t, address)
	at.keepPolicy(document(t, 9).Signed()) // by a key of somebody else
	at.keepPolicy([]byte("garbage"))
	stop := at.start()
	n := startNode(t, address, "gw-1", nil)
	n.birth("")
	at.ready(n)
	token, err := trust.VerifyFreshness(at.root, n.got(mqtt.DownFresh)[0], "0123456789abcdef", "gw-1")
	if err != nil || token.PolicyVersion != 0 || len(n.got(mqtt.DownPolicy)) != 0 {
		t.Errorf("the token is %+v, %v, with %d policies; want none", token, err, len(n.got(mqtt.DownPolicy)))
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// TestDesk_Attend_Once: who is there is greeted, and what it then says and sends is kept
// and confirmed before the end.
func TestDesk_Attend_Once(t *testing.T) {
	eachBroker(t, func(t *testing.T, address string) {
		at := newAttendance(t, address)
		at.a.Once, at.a.Linger = true, 2*time.Second
		streams := `[{"name":"control","epoch":"` + epoch + `","next":4,"confirmed":1}]`
		greeted := false
		n := startNode(t, address, "gw-1", func(n *node, kind mqtt.Kind, _ []byte) {
			if kind == mqtt.DownAck && !greeted {
				greeted = true
				n.hello(`,"policyVersion":9,"streams":` + streams)
			}
			if kind == mqtt.DownFresh {
				n.events(2, 3)
			}
		})
		n.birth(`,"outbox":` + streams)
		if err := at.desk.Attend(t.Context(), at.a); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the last confirmation is heard", func() bool { return at.through(n) == 3 })
		if got, err := desk.KeptThrough(at.folder, "gw-1", epoch); err != nil || got != 3 {
			t.Errorf("kept through %d (%v), want 3", got, err)
		}
	})
}

// TestDesk_Attend_Refused: a node that does not believe what it is told says so, and the
// person hears of it, but not without end.
func TestDesk_Attend_Refused(t *testing.T) {
	address := embedded(t)
	at := newAttendance(t, address)
	stop := at.start()
	n := startNode(t, address, "gw-1", nil)
	n.birth("")
	at.ready(n)
	const refused = `{"kind":"message-refused","subject":"hf/v1/plant/gw-1/down/fresh","cause":"wrong_role: key 12"}`
	n.say(mqtt.UpEvent, strings.Replace(n.envelope(1, "event", refused), `"historical":false`, `"historical":true`, 1))
	for seq := range uint64(30) {
		n.say(mqtt.UpEvent, n.envelope(seq+2, "event", refused))
		n.say(mqtt.UpEvent, n.envelope(seq+2, "event", refused)) // twice the same
	}
	at.confirmed(n, 31)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	close(at.deeds)
	told := 0
	for d := range at.deeds {
		if d.What == "refused" {
			told++
			if want := "message-refused hf/v1/plant/gw-1/down/fresh because wrong_role: key 12"; d.Node != "gw-1" || d.Detail != want {
				t.Errorf("told %+v, want %q", d, want)
			}
		}
	}
	if told != 10 {
		t.Errorf("told of %d refusals, want 10 within a minute", told)
	}
}

func TestDesk_Attend_Refuses(t *testing.T) {
	t.Run("SecondAttendance", func(t *testing.T) {
		address := embedded(t)
		at := newAttendance(t, address)
		stop := at.start()
		n := startNode(t, address, "gw-1", nil)
		at.ready(n)
		if err := at.desk.Attend(t.Context(), at.a); !errors.Is(err, edge.ErrExists) {
			t.Errorf("the second Attend = %v, want %v", err, edge.ErrExists)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("DiskThatTakesNothing", func(t *testing.T) {
		address := embedded(t)
		at := newAttendance(t, address)
		ended := make(chan error, 1)
		go func() { ended <- at.desk.Attend(t.Context(), at.a) }()
		n := startNode(t, address, "gw-1", nil)
		at.ready(n)
		if err := os.WriteFile(filepath.Join(at.path, "history", "gw-1"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		n.events(1)
		if err := <-ended; err == nil {
			t.Error("Attend = nil, want the error of the disk")
		}
		if got := at.through(n); got != 0 {
			t.Errorf("confirmed through %d, want nothing", got)
		}
	})
	t.Run("KeyOfAnotherRole", func(t *testing.T) {
		at := newAttendance(t, "127.0.0.1:1")
		if err := desk.CheckFreshness(at.root, newKey(t)); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("CheckFreshness = %v, want %v", err, edge.ErrInvalid)
		}
		if err := desk.CheckFreshness(at.root, at.a.Freshness); err != nil {
			t.Errorf("CheckFreshness = %v, want nil", err)
		}
	})
	t.Run("OnceWithoutBroker", func(t *testing.T) {
		at := newAttendance(t, freeAddress(t))
		at.a.Once = true
		at.desk = impatient(t, freeAddress(t))
		if err := at.desk.Attend(t.Context(), at.a); !errors.Is(err, edge.ErrUnavailable) {
			t.Errorf("Attend = %v, want %v", err, edge.ErrUnavailable)
		}
	})
}

func impatient(tb testing.TB, address string) *desk.Desk {
	tb.Helper()
	d, err := desk.New(desk.Options{Broker: "tcp://" + address, Site: "plant", Quiet: 10 * time.Millisecond, Patience: 100 * time.Millisecond})
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// TestDesk_Attend_Thousand: history of a thousand nodes at once, in bounded memory.
func TestDesk_Attend_Thousand(t *testing.T) {
	const nodes, each = 1000, 4
	address := embedded(t)
	at := newAttendance(t, address)
	stop := at.start()
	speaker := startNode(t, address, "speaker", nil)
	at.ready(speaker)
	before := heap()
	var want []string
	for i := range nodes {
		n := &node{tb: t, name: fmt.Sprintf("gw-%04d", i), session: speaker.session}
		n.birth("")
		for seq := range uint64(each) {
			n.events(seq + 1)
		}
		want = append(want, fmt.Sprintf("%s %s through %d", n.name, epoch, each))
	}
	got := map[string]bool{}
	over := time.After(3 * patience)
	for slices.ContainsFunc(want, func(w string) bool { return !got[w] }) {
		select {
		case d := <-at.deeds:
			if d.What == "confirmed" {
				got[d.Node+" "+d.Detail] = true
			}
		case <-over:
			t.Fatalf("%d of %d nodes are confirmed", len(got), nodes)
		}
	}
	grown := heap() - before
	t.Logf("%d nodes, %d entries each: %d KiB more on the heap, broker included", nodes, each, grown>>10)
	if grown > 32<<20 {
		t.Errorf("%d MiB more on the heap, want at most 32", grown>>20)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func heap() int64 {
	goruntime.GC()
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
