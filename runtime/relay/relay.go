package relay

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// relay is the process that stays.
type relay struct {
	folder  string
	program string
	socket  uint64       // number of the file that control is
	lock    *os.File     // says that there is one for the folder
	control net.Listener // where the agent speaks
	ports   map[string]*port
	open    *connections
	serving sync.WaitGroup // of the ports
	grace   time.Duration  // of connections that nothing is left to serve
}

const (
	// lookEvery is how often it is looked for whether the folder is still there.
	lookEvery = 2 * time.Second
	// endWithin is the grace of a real one.
	endWithin = 5 * time.Second
)

// run takes the agent's word until there is nothing to be done any more, and returns
// when what is open has ended.
func (r *relay) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { r.watch(watching) })
	patient := r.obey(ctx)
	stop()
	watch.Wait()
	if !patient {
		timer := time.AfterFunc(r.grace, cancel)
		defer timer.Stop()
	}
	r.serving.Wait() // one of them may wait for a place, which is free when a connection ends
	r.open.running.Wait()
	return nil
}

// watch ends it all when the folder is gone, with which nobody could say so.
func (r *relay) watch(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			r.control.Close()
			return
		case <-ticker.C:
		}
		if now, err := r.identity(); err != nil || now != r.socket {
			r.control.Close()
			return
		}
	}
}

func (r *relay) identity() (uint64, error) {
	info, err := os.Lstat(socketIn(r.folder))
	if err != nil {
		return 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, errors.New("a file without a number")
	}
	return stat.Ino, nil
}

// obey takes one list of routes after the other. It returns with nothing listened on,
// and tells whether what is open may take its time.
func (r *relay) obey(ctx context.Context) (patient bool) {
	defer r.letGo()
	for {
		conn, err := r.control.Accept()
		if errors.Is(err, net.ErrClosed) {
			return false
		}
		if err != nil {
			pause(ctx, 100*time.Millisecond)
			continue
		}
		_ = conn.SetDeadline(time.Now().Add(answerWithin)) // a socket has deadlines
		done, patient := r.attend(ctx, conn)
		conn.Close()
		if done {
			return patient
		}
	}
}

// attend answers one request.
func (r *relay) attend(ctx context.Context, conn net.Conn) (done, patient bool) {
	var asked request
	if err := json.NewDecoder(io.LimitReader(conn, maxMessage)).Decode(&asked); err != nil {
		return false, false
	}
	if asked.Program != r.program && len(asked.Routes) > 0 {
		r.letGo()
		_ = say(conn, answer{Outdated: true}) // who has gone will ask again
		return true, true
	}
	problems := r.set(ctx, asked.Routes)
	if len(asked.Routes) == 0 {
		r.letGo()
	}
	_ = say(conn, answer{Problems: problems})
	return len(asked.Routes) == 0, false
}

// set makes routes all that is listened on.
func (r *relay) set(ctx context.Context, routes []Route) map[string]string {
	wanted := map[string]Route{}
	for _, route := range routes {
		wanted[route.Listen] = route
	}
	for address, p := range r.ports {
		if _, still := wanted[address]; !still {
			p.listener.Close()
			delete(r.ports, address)
		}
	}
	problems := map[string]string{}
	for address, route := range wanted {
		if err := r.take(ctx, address, route.Targets); err != nil {
			problems[address] = err.Error()
		}
	}
	return problems
}

// take listens on an address, if that is not done yet, for targets.
func (r *relay) take(ctx context.Context, address string, targets []Target) error {
	for _, target := range targets {
		if err := target.reachable(); err != nil {
			return err
		}
	}
	p, there := r.ports[address]
	if !there {
		var err error
		if p, err = listen(ctx, address); err != nil {
			return err
		}
	}
	p.targets.Store(&targets)
	if !there {
		r.ports[address] = p
		r.serving.Go(func() { p.serve(ctx, r.open) })
	}
	return nil
}

// letGo leaves ports and folder to whoever comes next. Doing so again does nothing.
func (r *relay) letGo() {
	for address, p := range r.ports {
		p.listener.Close()
		delete(r.ports, address)
	}
	if r.lock == nil {
		return
	}
	r.control.Close()
	if now, err := r.identity(); err == nil && now == r.socket {
		// What cannot be removed is replaced by the next one.
		os.Remove(socketIn(r.folder))
		os.Remove(lockIn(r.folder))
		os.Remove(r.folder)
	}
	r.lock.Close()
	r.lock = nil
}
