package localapi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Bounds on a connection. A header of a local caller arrives at once; an answer
// that is not taken for so long has no reader.
const (
	headerTimeout  = 5 * time.Second
	idleTimeout    = time.Minute
	writeTimeout   = 10 * time.Second
	maxHeaderBytes = 16 << 10
	// shutdownGrace is what requests inside get to end when the agent stops; with
	// it a stop stays within the seconds a service manager allows.
	shutdownGrace = 3 * time.Second
)

// Server answers on the unix socket and the loopback port.
type Server struct {
	opts      Options
	budget    budget
	importing chan struct{} // capacity 1: imports take turns
	heavy     sync.Mutex    // large bodies are examined one at a time
	feed      *feed
	token     token
	idPrefix  string
	idCount   atomic.Uint64

	// stopping ends streams, which have no end of their own.
	stopping context.Context
	stop     context.CancelFunc
	// inside is the context of requests that net/http does not know of.
	inside context.Context
	cut    context.CancelFunc

	mu      sync.Mutex // guards what follows
	doors   []door
	closed  bool
	ended   bool           // no handler may begin any more
	running sync.WaitGroup // handlers
}

// door is one listener and its server.
type door struct {
	listener net.Listener
	http     *http.Server
}

// New checks the options. It does no I/O.
func New(opts Options) (*Server, error) {
	opts.fill()
	if err := opts.check(); err != nil {
		return nil, err
	}
	s := &Server{opts: opts, importing: make(chan struct{}, 1), idPrefix: strings.ToLower(rand.Text()[:8]) + "-"}
	s.budget.left.Store(opts.MaxInFlight)
	s.feed = newFeed(&s.opts)
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.inside, s.cut = context.WithCancel(context.Background())
	return s, nil
}

// Open listens. From now on callers can connect; they are answered once Run runs.
func (s *Server) Open() error {
	if s.opts.Socket != "" {
		if err := s.openSocket(); err != nil {
			return err
		}
	}
	if s.opts.Listen != "" {
		l, err := net.Listen("tcp", s.opts.Listen)
		if err != nil {
			s.Close()
			return fmt.Errorf("cannot listen on %q: %w", s.opts.Listen, err)
		}
		s.add(limit(l, s.opts.MaxConns), guard(s.handler(false)))
	}
	return nil
}

func (s *Server) openSocket() error {
	l, err := listenUnix(s.opts.Socket, s.opts.Group)
	if err != nil {
		return err
	}
	may, err := membersOf(s.opts.Socket)
	if err != nil {
		l.Close()
		return err
	}
	limited := limit(l, s.opts.MaxConns)
	limited.meet = may.meet
	s.add(shortListener{limited, s}, s.membersOnly(s.handler(true)))
	return nil
}

func (s *Server) add(l net.Listener, h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doors = append(s.doors, door{
		listener: l,
		http: &http.Server{
			Handler:           s.counted(h),
			ReadHeaderTimeout: headerTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ConnState:         follow,
			ConnContext:       introduce,
			ErrorLog:          slog.NewLogLogger(complaints{s.opts.Log.Handler()}, slog.LevelWarn),
		},
	})
}

// Addr is where the loopback port listens, nothing when it is not open.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.doors {
		if tcp, ok := d.listener.Addr().(*net.TCPAddr); ok {
			return tcp.String()
		}
	}
	return ""
}

// Run serves until ctx ends, lets the requests inside end within three seconds,
// and closes the listeners. It returns when every handler has returned.
func (s *Server) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, d := range s.opened() {
		group.Go(func() error {
			if err := d.http.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("cannot serve on %q: %w", d.listener.Addr(), err)
			}
			return nil
		})
	}
	group.Go(func() error { return s.feed.run(s.stopping) })
	group.Go(func() error {
		<-ctx.Done()
		s.shutdown()
		return nil
	})
	return group.Wait()
}

// shutdown ends the streams at once and the rest in time.
func (s *Server) shutdown() {
	s.stop()
	ctx, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	context.AfterFunc(ctx, s.cut)
	var group errgroup.Group
	for _, d := range s.opened() {
		group.Go(func() error {
			if d.http.Shutdown(ctx) != nil {
				return d.http.Close() // ends the context of each request
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		s.opts.Log.Warn("api-close-failed", "error", err.Error())
	}
	s.Close()
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.running.Wait()
}

// Close gives up the listeners and removes the socket.
func (s *Server) Close() {
	s.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	for _, d := range s.doors {
		// The server may have closed it already; a second time only says so.
		_ = d.listener.Close()
	}
}

func (s *Server) opened() []door {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.doors
}

// counted lets Run know when the last handler has returned.
func (s *Server) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.enter() {
			panic(http.ErrAbortHandler)
		}
		defer s.running.Done()
		if r.Header.Get("Expect") != "" {
			// The invitation to send the body must not meet the deadline of the
			// answer before it.
			_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		}
		s.name(w)
		next.ServeHTTP(w, r)
	})
}

// enter counts a handler in; false when none may begin any more.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.running.Add(1)
	return true
}

// name says who answers.
func (s *Server) name(w http.ResponseWriter) {
	if s.opts.NodeName != "" {
		w.Header().Set(HeaderNode, s.opts.NodeName)
	}
}

// nextID names a task uniquely, also among those of an agent before this one.
func (s *Server) nextID() string {
	return s.idPrefix + strconv.FormatUint(s.idCount.Add(1), 36)
}

// complaints turns the lines net/http writes into one event with the line as a fact.
type complaints struct{ slog.Handler }

func (c complaints) Handle(ctx context.Context, r slog.Record) error {
	event := slog.NewRecord(r.Time, r.Level, "http-complaint", r.PC)
	event.AddAttrs(slog.String("detail", strings.TrimSpace(r.Message)))
	return c.Handler.Handle(ctx, event)
}
