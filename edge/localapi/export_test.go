package localapi

import "net"

// OpenOn has the server answer on a listener of the test's, as it does on the port.
func (s *Server) OpenOn(l net.Listener) { s.add(l, guard(s.handler(false))) }
