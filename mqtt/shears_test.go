package mqtt_test

import (
	"io"
	"net"
	"sync/atomic"
)

// shears ends a connection after so many bytes. Of a peer's, so reads are what the
// session sends.
type shears struct {
	net.Conn
	reads, writes int           // left; 0 and -1 do not cut
	read          *atomic.Int64 // counts
}

func (s *shears) Read(p []byte) (int, error) {
	if s.reads > 0 {
		p = p[:min(len(p), s.reads)]
	}
	n, err := s.Conn.Read(p)
	s.read.Add(int64(n))
	if s.reads > 0 {
		if s.reads -= n; s.reads == 0 {
			s.reads = -1 // the last bytes did arrive, and may be answered
			return n, err
		}
	}
	if s.reads < 0 {
		_ = s.Conn.Close()
		return 0, io.EOF
	}
	return n, err
}

func (s *shears) Write(p []byte) (int, error) {
	if s.writes < 0 {
		return s.Conn.Write(p)
	}
	n, err := s.Conn.Write(p[:min(len(p), s.writes)])
	if s.writes -= n; s.writes == 0 {
		_ = s.Conn.Close()
		return n, io.ErrClosedPipe
	}
	return n, err
}
