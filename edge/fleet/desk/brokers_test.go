package desk_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/build/mosquitto"
	"holdfast/edge/fleet/desk"
	"holdfast/mqtt"
	"holdfast/mqtt/broker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every waiting in these tests, far above what any takes.
const patience = 60 * time.Second

// eachBroker runs a test on our broker and on mosquitto.
func eachBroker(t *testing.T, test func(t *testing.T, address string)) {
	t.Run("Embedded", func(t *testing.T) { test(t, embedded(t)) })
	t.Run("Mosquitto", func(t *testing.T) { test(t, debians(t)) })
}

func embedded(tb testing.TB) string {
	tb.Helper()
	address, stop := embeddedAt(tb, "127.0.0.1:0")
	tb.Cleanup(stop)
	return address
}

// embeddedAt runs our broker until it is stopped, with all that it remembers.
func embeddedAt(tb testing.TB, at string) (address string, stop func()) {
	tb.Helper()
	b, err := broker.New(broker.Options{Listen: []broker.Listener{{Address: at}}, Anonymous: true, MaxQueue: 1 << 15})
	if err != nil {
		tb.Fatal(err)
	}
	if err := b.Open(); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	return b.Addresses()[0].String(), sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("broker ended with %v, want nil", err)
		}
	})
}

// debians is a mosquitto.
func debians(tb testing.TB) string {
	tb.Helper()
	b, err := mosquitto.Start(tb.Context(), tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = b.Kill() })
	return b.Address()
}

func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// eventually looks until something is so.
func eventually(tb testing.TB, what string, so func() bool) {
	tb.Helper()
	over := time.After(patience)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !so() {
		select {
		case <-look.C:
		case <-over:
			tb.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// newDesk is an operator's desk on a broker.
func newDesk(tb testing.TB, address string) *desk.Desk {
	tb.Helper()
	d, err := desk.New(desk.Options{Broker: "tcp://" + address, Site: "plant", Quiet: 200 * time.Millisecond, Patience: patience})
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// node is a node made of a real session, which says and does what a test wants.
type node struct {
	tb      testing.TB
	name    string
	session *mqtt.Session
	stop    func()

	mu    sync.Mutex
	heard map[mqtt.Kind][][]byte
	on    func(kind mqtt.Kind, payload []byte) // called for what is heard
}

func startNode(tb testing.TB, address, name string, on func(n *node, kind mqtt.Kind, payload []byte)) *node {
	tb.Helper()
	n := &node{tb: tb, name: name, heard: map[mqtt.Kind][][]byte{}}
	if on != nil {
		n.on = func(kind mqtt.Kind, payload []byte) { on(n, kind, payload) }
	}
	work := make(chan func(), 1024) // Handle must not wait for what it publishes
	o := mqtt.Options{
		Broker: "tcp://" + address, ClientID: name, Subscriptions: mqtt.NodeFilters("plant", name, "first"),
		Tuning: mqtt.Tuning{MaxFrame: mqtt.PolicyFrame},
		Will: func() *mqtt.Message {
			return &mqtt.Message{Topic: n.topic(mqtt.UpPresence), Payload: fmt.Appendf(nil, `{"node":%q,"online":false,"session":"s1"}`, name), Retained: true}
		},
		Handle: func(_ context.Context, d mqtt.Delivery) {
			d.Ack()
			topic, err := mqtt.ParseTopic(d.Topic)
			if err != nil {
				return
			}
			n.mu.Lock()
			n.heard[topic.Kind] = append(n.heard[topic.Kind], d.Payload)
			n.mu.Unlock()
			if n.on != nil {
				work <- func() { n.on(topic.Kind, d.Payload) }
			}
		},
	}
	session, err := mqtt.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	n.session = session
	n.run(work)
	eventually(tb, name+" is up", func() bool { return session.State().Phase == mqtt.Up })
	return n
}

func (n *node) run(work chan func()) {
	ctx, cancel := context.WithCancel(context.Background())
	stopping := make(chan struct{})
	var session, worker sync.WaitGroup
	session.Go(func() { _ = n.session.Run(ctx) })
	worker.Go(func() {
		for {
			select {
			case do := <-work:
				do()
			case <-stopping:
				return
			}
		}
	})
	n.stop = sync.OnceFunc(func() {
		close(stopping)
		worker.Wait() // what it says is said to the end
		cancel()
		session.Wait()
	})
	n.tb.Cleanup(n.stop)
}

func (n *node) topic(kind mqtt.Kind) string {
	return mqtt.Topic{Site: "plant", Node: n.name, Kind: kind}.String()
}

// say publishes and waits for the broker.
func (n *node) say(kind mqtt.Kind, text string) {
	retained := kind == mqtt.UpPresence || kind == mqtt.UpState
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := n.session.Publish(ctx, mqtt.Message{Topic: n.topic(kind), Payload: []byte(text), Retained: retained})
	if err != nil {
		n.tb.Errorf("node %s cannot say %s: %v", n.name, text, err)
	}
}

// birth says that the node is here, with more fields.
func (n *node) birth(more string) {
	n.say(mqtt.UpPresence, fmt.Sprintf(`{"node":%q,"online":true,"session":"s1","version":"1.0","groups":["first"],"labels":{"line":"3"}%s}`, n.name, more))
}

// report says what policy is in force.
func (n *node) report(version uint64, policy string) {
	n.say(mqtt.UpState, fmt.Sprintf(`{"node":%q,"session":"s1","version":%d,"state":{"agent":{"version":"1","boot":"b","containerd":true},"policy":{%s}}}`, n.name, version, policy))
}

const epoch = "00ff00ff00ff00ff"

// envelope is one entry of a stream.
func (n *node) envelope(seq uint64, kind, body string) string {
	return fmt.Sprintf(`{"v":1,"node":%q,"epoch":%q,"seq":%d,"boot":"b","monoMs":1,"timeQuality":"none","class":"D2","historical":false,"type":%q,"body":%s}`,
		n.name, epoch, seq, kind, body)
}

func (n *node) got(kind mqtt.Kind) [][]byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([][]byte(nil), n.heard[kind]...)
}

// lines are the lines of a file of history.
func lines(tb testing.TB, folder, name string) []string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "history", name, epoch+".jsonl"))
	if err != nil {
		tb.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}
