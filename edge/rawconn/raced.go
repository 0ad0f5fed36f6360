//go:build race

package rawconn

import (
	"errors"
	"syscall"
)

// The race detector learns from package syscall that what was written before a
// byte was sent is seen by who has received it. Raw calls would hide that from it.

func read(fd uintptr, p []byte) (int, syscall.Errno)  { return repeat(syscall.Read, fd, p) }
func write(fd uintptr, p []byte) (int, syscall.Errno) { return repeat(syscall.Write, fd, p) }

// peek takes what it reads at once: package syscall says nothing of what is only
// looked at.
func peek(fd uintptr, p []byte) (n, owed int, errno syscall.Errno) {
	n, errno = read(fd, p)
	return n, 0, errno
}

func repeat(call func(int, []byte) (int, error), fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, err := call(int(fd), p)
		var errno syscall.Errno
		switch {
		case err == nil:
			return n, 0
		case !errors.As(err, &errno):
			return 0, syscall.EIO // package syscall returns nothing else
		case errno != syscall.EINTR:
			return 0, errno
		}
	}
}
