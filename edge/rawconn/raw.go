//go:build !race

package rawconn

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func read(fd uintptr, p []byte) (int, syscall.Errno)  { return call(syscall.SYS_READ, fd, p, 0) }
func write(fd uintptr, p []byte) (int, syscall.Errno) { return call(syscall.SYS_WRITE, fd, p, 0) }

// peek reads and leaves in the socket what it has read; owed says how much.
func peek(fd uintptr, p []byte) (n, owed int, errno syscall.Errno) {
	n, errno = call(unix.SYS_RECVFROM, fd, p, unix.MSG_PEEK)
	return n, n, errno
}

// call makes a system call that does not block and may be interrupted. p is not
// empty.
func call(number, fd uintptr, p []byte, flags uintptr) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(number, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), flags, 0, 0)
		switch errno {
		case 0:
			return int(n), 0
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}
