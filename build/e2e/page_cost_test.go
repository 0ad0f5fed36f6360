package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/localapi"
)

// usedCPU is the CPU time of the agent so far; the kernel counts it by the nanosecond.
func (n *node) usedCPU() time.Duration {
	n.t.Helper()
	var used time.Duration
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", n.AgentPID()))
	if err != nil {
		n.t.Fatal(err)
	}
	for _, thread := range threads {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", n.AgentPID(), thread.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has ended
		}
		if err != nil {
			n.t.Fatal(err)
		}
		ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			n.t.Fatal(err)
		}
		used += time.Duration(ns)
	}
	return used
}

// residentMemory is what the agent has in memory, in bytes.
func (n *node) residentMemory() int {
	n.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", n.AgentPID()))
	if err != nil {
		n.t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		n.t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// steady sends so many tasks a second until stop is called.
func (n *node) steady(rate int, model string, request edge.Payload) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var senders sync.WaitGroup
	const each = 4
	for range each {
		senders.Go(func() {
			c := localapi.Dial(n.Socket())
			defer c.Close()
			pace := time.NewTicker(each * time.Second / time.Duration(rate))
			defer pace.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-pace.C:
					_, _ = c.Infer(context.Background(), model, request, localapi.InferOptions{Deadline: time.Second})
				}
			}
		})
	}
	return func() {
		cancel()
		senders.Wait()
	}
}

// TestLive_Cost measures what an open page costs the agent: with 200 tasks a second, and a
// reader, and the same without.
func TestLive_Cost(t *testing.T) {
	// Short spans differ by chance, and by what else the machine does.
	span, turns, most := time.Second, 2, 10.
	if soaking() {
		span, turns, most = 5*time.Second, 4, 2
	}
	n := newNode(t)
	n.deploy(digitsService(1))
	n.awaitReady("digits", 1)
	request, _ := picture(t, 7)
	stop := n.steady(200, "digits", edge.Payload{Body: request})
	defer stop()
	share := func() float64 {
		began, before := time.Now(), n.usedCPU()
		<-time.After(span)
		return 100 * float64(n.usedCPU()-before) / float64(time.Since(began))
	}
	share() // what is only made once
	var without, with float64
	var memory int
	for range turns { // in turn, so that what else the machine does counts for both
		without += share() / float64(turns)
		before := n.residentMemory()
		w := n.watch()
		read := make(chan struct{})
		go func() {
			defer close(read)
			for more := true; more; {
				_, more = w.next()
			}
		}()
		with += share() / float64(turns)
		memory = max(memory, n.residentMemory()-before)
		w.close()
		<-read
	}
	t.Logf("of one core: %.1f %% without a reader, %.1f %% with one, which is %.2f %% more; %d KiB more in memory", without, with, with-without, memory>>10)
	if with-without > most {
		t.Errorf("a reader costs %.1f %% of a core, want at most %.0f %%", with-without, most)
	}
}

// TestLive_RoundTrips measures what a person waits for: the status, and what a collector
// does.
func TestLive_RoundTrips(t *testing.T) {
	n := newNode(t)
	n.deploy(digitsService(1))
	n.awaitReady("digits", 1)
	took := func(ask func() error) time.Duration {
		best := time.Hour
		for range 20 {
			began := time.Now()
			if err := ask(); err != nil {
				t.Fatal(err)
			}
			best = min(best, time.Since(began))
		}
		return best
	}
	status := took(func() error { _, err := n.Client().Status(t.Context()); return err })
	scrape := took(func() error {
		resp := n.atPort("GET", "/metrics")
		_, err := io.Copy(io.Discard, resp.Body)
		return err
	})
	t.Logf("status %v, scrape %v", status, scrape)
	if status > 20*time.Millisecond || scrape > 5*time.Millisecond {
		t.Errorf("status took %v, want 20ms; scrape %v, want 5ms", status, scrape)
	}
}
