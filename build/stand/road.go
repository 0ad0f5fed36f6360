package stand

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Weather is what becomes of the connections of a road, those there are and those to come. The zero
// value is fine weather.
type Weather struct {
	Refused bool          // nobody listens
	Reset   bool          // every connection is reset when it brings something
	Hole    bool          // what is sent arrives nowhere, and nobody says so
	Delay   time.Duration // each way
	Lost    float64       // share of what is sent that comes only after it was sent again, 300 ms later
	Rate    int           // bytes a second, each way; 0: unbounded
	Says    string        // what is answered in place of the other end
}

// Road is a TCP relay in all weathers.
type Road struct {
	to      string
	address string
	ended   sync.WaitGroup

	mu       sync.Mutex // guards the rest
	weather  Weather
	changed  chan struct{} // closed at each change
	listener net.Listener
	open     map[net.Conn]bool
	closed   bool
}

// BuildRoad leads to an address.
func BuildRoad(to string) (*Road, error) {
	r := &Road{to: to, address: "127.0.0.1:0", open: map[net.Conn]bool{}, changed: make(chan struct{})}
	if err := r.listen(); err != nil {
		return nil, err
	}
	r.address = r.listener.Addr().String()
	return r, nil
}

// Address is where the road begins.
func (r *Road) Address() string { return r.address }

func (r *Road) listen() error {
	l, err := net.Listen("tcp", r.address)
	if err != nil {
		return fmt.Errorf("cannot listen at %s: %w", r.address, err)
	}
	r.mu.Lock()
	r.listener = l
	r.mu.Unlock()
	r.ended.Go(func() { r.accept(l) })
	return nil
}

// Set changes the weather.
func (r *Road) Set(w Weather) error {
	r.mu.Lock()
	was := r.weather.Refused
	r.weather = w
	close(r.changed)
	r.changed = make(chan struct{})
	if w.Refused && !was {
		r.listener.Close()
		r.abortLocked()
	}
	r.mu.Unlock()
	if was && !w.Refused {
		return r.listen()
	}
	return nil
}

func (r *Road) abortLocked() {
	for conn := range r.open {
		abort(conn)
	}
}

// Close ends all connections, and returns when nothing of the road is left.
func (r *Road) Close() error {
	r.mu.Lock()
	r.closed = true
	err := r.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	r.abortLocked()
	close(r.changed)
	r.changed = make(chan struct{})
	r.mu.Unlock()
	r.ended.Wait()
	return err
}

func (r *Road) accept(l net.Listener) {
	for {
		near, err := l.Accept()
		if err != nil {
			return
		}
		far, err := net.DialTimeout("tcp", r.to, time.Second)
		if err != nil {
			abort(near)
			continue
		}
		r.mu.Lock()
		r.open[near], r.open[far] = true, true
		if r.closed {
			r.abortLocked()
		}
		r.mu.Unlock()
		r.ended.Go(func() { r.carry(near, far, true) })
		r.ended.Go(func() { r.carry(far, near, false) })
	}
}

// carry takes one piece after the other.
func (r *Road) carry(from, to net.Conn, there bool) {
	defer func() {
		r.mu.Lock()
		delete(r.open, from)
		r.mu.Unlock()
		abort(from)
		abort(to)
	}()
	piece := make([]byte, 16<<10)
	for {
		n, err := from.Read(piece)
		if err != nil {
			return
		}
		w := r.pass()
		switch {
		case w.Reset:
			return
		case w.Says != "" && there:
			if _, err := from.Write([]byte(w.Says)); err != nil {
				return
			}
			continue
		}
		if !r.slowly(to, piece[:n], w) {
			return
		}
	}
}

// pass waits while there is a hole in the road.
func (r *Road) pass() Weather {
	for {
		r.mu.Lock()
		w, changed, closed := r.weather, r.changed, r.closed
		r.mu.Unlock()
		if !w.Hole || closed {
			return w
		}
		<-changed
	}
}

// slowly writes a piece as the weather allows.
func (r *Road) slowly(to net.Conn, piece []byte, w Weather) bool {
	wait := w.Delay
	if rand.Float64() < w.Lost {
		wait += 300 * time.Millisecond
	}
	if !r.linger(wait) {
		return false
	}
	for len(piece) > 0 {
		part := piece
		if w.Rate > 0 {
			part = piece[:min(len(piece), max(1, w.Rate/20))]
			if !r.linger(50 * time.Millisecond) {
				return false
			}
		}
		if _, err := to.Write(part); err != nil {
			return false
		}
		piece = piece[len(part):]
	}
	return true
}

// linger lets time pass; false when the road is closed.
func (r *Road) linger(wait time.Duration) bool {
	if wait > 0 {
		timer := time.NewTimer(wait)
		<-timer.C
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.closed
}
