package localapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// peer is who is at the other end of the socket, as the kernel knows it: nobody can say
// so wrongly.
type peer struct {
	uid     uint32
	pid     int32 // 0: of another pid namespace
	refused bool
}

func (p *peer) String() string { return fmt.Sprintf("local API, uid %d, pid %d", p.uid, p.pid) }

// members tells who may use a socket: root, the user the agent runs as, and the members
// of the socket's group. Its mode says the same; that holds where somebody has
// loosened it, or handed the socket into a container.
type members struct {
	self  uint32
	group uint32
}

// membersOf is who may use the socket at that path.
func membersOf(path string) (members, error) {
	info, err := os.Stat(path)
	if err != nil {
		return members{}, fmt.Errorf("cannot look at socket %q: %w", path, err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return members{}, fmt.Errorf("cannot tell the group of socket %q: %w", path, edge.ErrInvalid)
	}
	return members{self: uint32(os.Geteuid()), group: stat.Gid}, nil
}

// meet finds out who has connected. One of whom the kernel does not say it is nobody.
func (m members) meet(conn net.Conn) *peer {
	who := &peer{uid: ^uint32(0), refused: true}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return who
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return who
	}
	_ = raw.Control(func(fd uintptr) { // where it cannot, who stays nobody
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return
		}
		who.uid, who.pid = cred.Uid, cred.Pid
		who.refused = cred.Uid != 0 && cred.Uid != m.self && cred.Gid != m.group && !slices.Contains(peerGroups(fd), m.group)
	})
	return who
}

// maxGroups is how many groups the kernel lets a process be in.
const maxGroups = 1 << 16

// peerGroups are the further groups that the peer was in when it connected.
func peerGroups(fd uintptr) []uint32 {
	groups := make([]uint32, 64)
	for {
		size := uint32(len(groups) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == 0:
			return groups[:size/4]
		case errors.Is(errno, unix.ERANGE) && int(size/4) > len(groups) && size/4 <= maxGroups:
			groups = make([]uint32, size/4) // as many as there are
		default:
			return nil
		}
	}
}

// peerOf is who is at the other end of a connection; nil where the kernel was not asked.
func peerOf(conn net.Conn) *peer {
	switch c := conn.(type) {
	case *shortConn:
		return c.peer
	case *limitedConn:
		return c.peer
	}
	return nil
}

type peerKey struct{}

// introduce lets handlers know who asks.
func introduce(ctx context.Context, conn net.Conn) context.Context {
	who := peerOf(conn)
	if who == nil {
		return ctx
	}
	return edge.WithCaller(context.WithValue(ctx, peerKey{}, who), who.String())
}

// membersOnly lets nobody else in. It is asked for the first request of each connection,
// and then for all that net/http handles: who has been turned away has no other.
func (s *Server) membersOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if who, known := r.Context().Value(peerKey{}).(*peer); known && who.refused {
			s.fail(w, problem{status: http.StatusForbidden, hangUp: true, body: oip.ErrorBody{
				Error:  fmt.Sprintf("user %d may not use this socket", who.uid),
				Reason: reasonForbidden,
				Hint:   "it is for root, the agent's own user and the members of the socket's group; api.group names another group",
			}})
			return
		}
		next.ServeHTTP(w, r)
	})
}
