package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"syscall"
	"time"

	"holdfast/build/stand"
	"holdfast/edge"
	"holdfast/edge/localapi"
)

// What the stream to the plant's server looks like: one task every streamPause, each due in
// streamWithin; the road swallows everything from holeFrom to holeTo.
const (
	streamTasks  = 200
	streamPause  = 20 * time.Millisecond
	streamWithin = 250 * time.Millisecond
	streamBucket = 500 * time.Millisecond
	holeFrom     = time.Second
	holeTo       = 2500 * time.Millisecond
)

// routes lead digits to the plant's server while it answers.
func routes(address string) string {
	return fmt.Sprintf(`upstreams:
  plant: {url: "http://%s", breaker: {failures: 3, open: 300ms, probes: 1}}
routes:
  digits: {upstream: plant}
`, address)
}

// plant starts the sample model's server as a process of its own, as a larger machine of the plant would run it.
func (s *show) plant(ctx context.Context) (address string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	address = l.Addr().String()
	if err := l.Close(); err != nil {
		return "", err
	}
	arch := map[string]string{"arm": "armv7"}[goruntime.GOARCH]
	if arch == "" {
		arch = goruntime.GOARCH
	}
	log, err := os.Create(filepath.Join(filepath.Dir(s.fleet.desk), "plant.log"))
	if err != nil {
		return "", err
	}
	defer log.Close()
	server := exec.Command(filepath.Join(filepath.Dir(s.options.image), "server-"+arch), "-listen", "tcp://"+address)
	server.Stdout, server.Stderr = log, log
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		return "", err
	}
	s.fleet.running = append(s.fleet.running, server)
	return address, s.await(ctx, "the plant's server", func(edge.Status) bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// arrival is what became of one task of a stream.
type arrival struct {
	sent   time.Duration // after the beginning
	onTime bool
	route  string
}

// loseUpstream has tasks answered by the plant's server, cuts the road to it in the middle of a stream, and shows who
// answered when.
func (s *show) loseUpstream(ctx context.Context) (err error) {
	address, err := s.plant(ctx)
	if err != nil {
		return err
	}
	road, err := stand.BuildRoad(address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, road.Close()) }()
	if err := s.fleet.signWith(ctx, 4, routes(road.Address())); err != nil {
		return err
	}
	if err := s.fleet.say(ctx, "apply", s.fleet.signed(4), "--root", s.fleet.path("root.json")); err != nil {
		return err
	}
	fmt.Printf("  one task every %v, each due in %v; from %v to %v the road swallows everything:\n", streamPause, streamWithin, holeFrom, holeTo)
	arrivals, err := s.travel(ctx, road)
	if err != nil {
		return err
	}
	return printTimeline(arrivals)
}

// travel sends tasks at fixed instants, and changes the weather of the road at its own.
func (s *show) travel(ctx context.Context, road *stand.Road) ([]arrival, error) {
	arrivals := make([]arrival, streamTasks)
	var sent sync.WaitGroup
	begun := time.Now()
	ticker := time.NewTicker(streamPause)
	defer ticker.Stop()
	hole := false
	for i := range arrivals {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		at := time.Since(begun)
		if now := at >= holeFrom && at < holeTo; now != hole {
			hole = now
			if err := road.Set(stand.Weather{Hole: hole}); err != nil {
				return nil, err
			}
		}
		sent.Go(func() {
			result, err := s.client.Infer(ctx, "digits", s.samples[i].request, localapi.InferOptions{Deadline: streamWithin})
			arrivals[i] = arrival{sent: at, onTime: err == nil && result.OnTime, route: result.Route}
		})
	}
	sent.Wait()
	return arrivals, nil
}

func printTimeline(arrivals []arrival) error {
	fmt.Println("    from   tasks  by the plant  by the node  late or refused")
	onTime, back := 0, time.Duration(0)
	var bucket struct{ from, tasks, plant, node, late int }
	flush := func() {
		fmt.Printf("    %3.1f s  %5d  %12d  %11d  %15d\n",
			(time.Duration(bucket.from) * streamBucket).Seconds(), bucket.tasks, bucket.plant, bucket.node, bucket.late)
	}
	for i, a := range arrivals {
		if at := int(a.sent / streamBucket); i > 0 && at != bucket.from {
			flush()
			bucket.from, bucket.tasks, bucket.plant, bucket.node, bucket.late = at, 0, 0, 0, 0
		}
		bucket.tasks++
		switch {
		case !a.onTime:
			bucket.late++
		case a.route == edge.AnsweredUpstream:
			bucket.plant++
			if a.sent >= holeTo && back == 0 {
				back = a.sent - holeTo
			}
		default:
			bucket.node++
		}
		if a.onTime {
			onTime++
		}
	}
	flush()
	fmt.Printf("  %d of %d on time; the plant answers again %v after the road is open\n", onTime, len(arrivals), back.Round(time.Millisecond))
	if back == 0 {
		return fmt.Errorf("the node has not returned to its upstream: %w", edge.ErrUnavailable)
	}
	return nil
}
