package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/localapi"
	"holdfast/edge/oip"
)

// port is where the agent's last start listens on loopback. It answers a moment before its
// log says so.
func (n *node) port() (address string) {
	n.t.Helper()
	n.await("the agent's log to name its port", func(context.Context) error {
		text, err := os.ReadFile(n.AgentLog())
		if err != nil {
			return err
		}
		text = text[max(0, bytes.LastIndex(text, []byte("kind="+edge.EventAgentStarted))):]
		found := regexp.MustCompile(`msg=ready .*listen=(\S+)`).FindSubmatch(text)
		if found == nil {
			return errors.New("it does not yet")
		}
		address = string(found[1])
		return nil
	})
	return address
}

// caller is one client with a connection of its own.
func (n *node) caller(network, address string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		},
	}}
}

func TestStorm_ThousandClients(t *testing.T) {
	n := newNode(t)
	n.deploy(digitsService(2))
	n.awaitReady("digits", 2)
	s := n.startStream(1, never, patient)
	s.more(100)
	s.stop()
	n.Client().Close()
	calm, threads := n.descriptors(), n.threads()
	before := n.memory("VmRSS")
	for round := range 3 {
		n.storm(round)
	}
	t.Logf("memory before %s, most ever %s, now %s; threads %d, then %d",
		mebibytes(before), mebibytes(n.memory("VmHWM")), mebibytes(n.memory("VmRSS")), threads, n.threads())
	if peak := n.memory("VmHWM"); peak > 100<<20 {
		t.Errorf("the agent held %s", mebibytes(peak))
	}
	n.wantSettled()
	n.Client().Close()
	look(t, "the descriptors of before", func(context.Context) error {
		if now := n.descriptors(); now > calm {
			return fmt.Errorf("%d are open, %d were", now, calm)
		}
		return nil
	})
	after := n.goroutines()
	n.startAgent()
	n.awaitReady("digits", 2)
	n.ask(patient)
	n.Client().Close()
	fresh := n.goroutines()
	// A connection of the test's own may be closing just then; a leak of one in a
	// hundred tasks would be thirty.
	if extra := outnumber(after, fresh); sum(extra) > 3 {
		t.Errorf("goroutines of an agent that never saw a storm are outnumbered by %v", extra)
	}
	t.Logf("%d goroutines after the storm, %d in a fresh agent", sum(after), sum(fresh))
}

// storm has a thousand clients ask at the same moment, half of them on each door,
// a third in each class.
func (n *node) storm(round int) {
	n.t.Helper()
	const clients = 1000
	inputs, err := samples()
	if err != nil {
		n.t.Fatal(err)
	}
	doors := [...]struct{ network, address string }{{"unix", n.Socket()}, {"tcp", n.port()}}
	classes := [...]string{"urgent", "normal", "batch"}
	deadlines := [...]string{"100ms", "1s", "10s"}
	start := make(chan struct{})
	var mu sync.Mutex // guards tally
	tally := map[string]int{}
	var group sync.WaitGroup
	for i := range clients {
		group.Go(func() {
			door := doors[i%len(doors)]
			client := n.caller(door.network, door.address)
			<-start
			text := one(client, string(inputs[i%len(inputs)].request.Body), classes[i%len(classes)], deadlines[i%len(classes)])
			mu.Lock()
			tally[text]++
			mu.Unlock()
		})
	}
	begun := time.Now()
	close(start)
	group.Wait()
	n.t.Logf("round %d: %v after %v", round, tally, time.Since(begun).Round(time.Millisecond))
	for _, text := range slices.Sorted(maps.Keys(tally)) {
		if text != "200 on time" && !strings.HasPrefix(text, "429 ") && !strings.HasPrefix(text, "503 ") && !strings.HasPrefix(text, "504 ") {
			n.t.Errorf("%d clients got %q", tally[text], text)
		}
	}
	if tally["200 on time"] == 0 {
		n.t.Error("nobody was answered")
	}
}

// one sends one task and says in a word what became of it.
func one(client *http.Client, body, class, deadline string) string {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/v2/models/digits/infer", strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	req.Header.Set(localapi.HeaderClass, class)
	req.Header.Set(localapi.HeaderDeadline, deadline)
	resp, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	if resp.StatusCode != http.StatusOK {
		var body oip.ErrorBody
		if err := json.Unmarshal(text, &body); err != nil {
			return fmt.Sprintf("%d without a reason: %v", resp.StatusCode, err)
		}
		return fmt.Sprintf("%d %s", resp.StatusCode, body.Reason)
	}
	if !strings.Contains(string(text), `"deadline_met":true`) {
		return "200 late"
	}
	return "200 on time"
}

// goroutines ends the agent with SIGQUIT, upon which it prints every goroutine,
// and counts them by where they were made.
func (n *node) goroutines() map[string]int {
	n.t.Helper()
	pid := n.AgentPID()
	if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil {
		n.t.Fatal(err)
	}
	n.await("the agent to end", func(context.Context) error {
		if n.answers() {
			return fmt.Errorf("it still answers")
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	_ = n.StopAgent(ctx) // it has ended by itself, with the code of the signal
	text, err := os.ReadFile(n.AgentLog())
	if err != nil {
		n.t.Fatal(err)
	}
	_, dump, found := lastCut(string(text), "SIGQUIT: quit")
	if !found {
		n.t.Fatalf("the agent printed no goroutines:\n%s", tail(n.AgentLog()))
	}
	made := map[string]int{}
	for stack := range strings.SplitSeq(dump, "\n\n") {
		if !strings.HasPrefix(stack, "goroutine ") {
			continue
		}
		by := "the start"
		if _, rest, found := strings.Cut(stack, "created by "); found {
			by, _, _ = strings.Cut(rest, " in goroutine")
		}
		made[by]++
	}
	if len(made) < 5 {
		n.t.Fatalf("the dump has only %v", made)
	}
	return made
}

func lastCut(s, separator string) (before, after string, found bool) {
	at := strings.LastIndex(s, separator)
	if at < 0 {
		return s, "", false
	}
	return s[:at], s[at+len(separator):], true
}

// outnumber lists what there is more of in some than in others.
func outnumber(some, others map[string]int) map[string]int {
	extra := map[string]int{}
	for by, count := range some {
		if count > others[by] {
			extra[by] = count - others[by]
		}
	}
	return extra
}

func sum(counts map[string]int) (total int) {
	for _, count := range counts {
		total += count
	}
	return total
}
