package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/pkg/cio"
	"golang.org/x/sys/unix"
)

// pipes are the agent's ends of a program's standard streams. Each is opened where it can
// be without waiting for anybody, so that a container that stands ready costs three open
// files and no goroutine.
type pipes struct {
	dir            string
	config         cio.Config
	input          *os.File // nil until the shim has the other end
	output, errors *os.File
}

var _ cio.IO = (*pipes)(nil)

// newPipes makes the pipes of one container below dir.
func newPipes(dir string) (*pipes, error) {
	if err := os.RemoveAll(dir); err != nil { // of a container whose daemon lost its metadata
		return nil, fmt.Errorf("cannot clear pipes: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create pipes: %w", err)
	}
	p := &pipes{dir: dir, config: cio.Config{
		Stdin: filepath.Join(dir, "stdin"), Stdout: filepath.Join(dir, "stdout"), Stderr: filepath.Join(dir, "stderr"),
	}}
	for _, name := range []string{p.config.Stdin, p.config.Stdout, p.config.Stderr} {
		if err := unix.Mkfifo(name, 0o600); err != nil {
			return nil, errors.Join(fmt.Errorf("cannot create pipe: %w", err), p.Close())
		}
	}
	var err error
	if p.output, err = openPipe(p.config.Stdout, os.O_RDONLY); err == nil {
		p.errors, err = openPipe(p.config.Stderr, os.O_RDONLY)
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func openPipe(name string, flag int) (*os.File, error) {
	file, err := os.OpenFile(name, flag|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open pipe: %w", err)
	}
	return file, nil
}

// openInput opens the way in once the shim reads from it, which it does a moment after it
// has said that the container is there.
func (p *pipes) openInput(ctx context.Context) error {
	const glance = 100 * time.Microsecond
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for {
		file, err := openPipe(p.config.Stdin, os.O_WRONLY)
		if err == nil {
			p.input = file
			return nil
		}
		if !errors.Is(err, unix.ENXIO) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nobody reads its input: %w", ctx.Err())
		case <-ticker.C:
		}
	}
}

// Config tells the daemon where the pipes are.
func (p *pipes) Config() cio.Config { return p.config }

// Cancel has nothing to call off.
func (p *pipes) Cancel() {}

// Wait has nothing to wait for: whoever reads the pipes does it himself.
func (p *pipes) Wait() {}

// Close closes what is open and takes the pipes away.
func (p *pipes) Close() error {
	for _, file := range []*os.File{p.input, p.output, p.errors} {
		if file != nil {
			_ = file.Close() // closed before, or read to its end: there is nothing to lose
		}
	}
	return os.RemoveAll(p.dir)
}
