package containerd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// tray is a folder of the host in which a tool finds a file, or leaves one. It lies beside
// the sockets of servers, on a tmpfs: what a tool writes there is charged to its own memory.
type tray struct {
	folder string // on the host
	file   string // as the tool sees it
	output bool
}

// trays are those of one container.
func (d *Driver) trays(o *edge.OneShot, id string) []tray {
	var trays []tray
	if o.Input != "" {
		trays = append(trays, tray{folder: filepath.Join(d.instanceDir(id), "in"), file: o.Input})
	}
	if o.Output != "" {
		trays = append(trays, tray{folder: filepath.Join(d.instanceDir(id), "out"), file: o.Output, output: true})
	}
	return trays
}

// mount shows the tray to the tool, which may write to that of its output alone.
func (t tray) mount() specs.Mount {
	options := []string{"rbind", "rprivate", "nosuid", "nodev", "noexec"}
	if !t.output {
		options = append(options, "ro")
	}
	return specs.Mount{Destination: path.Dir(t.file), Type: "bind", Source: t.folder, Options: options}
}

// name is where the file is on the host.
func (t tray) name() string { return filepath.Join(t.folder, path.Base(t.file)) }

// makeTrays makes the folders, which belong to the tool's user.
func (f *draft) makeTrays() error {
	if len(f.plan.trays) == 0 {
		return nil
	}
	dir := f.driver.instanceDir(f.plan.id)
	if err := os.RemoveAll(dir); err != nil { // of one whose daemon lost its metadata
		return fmt.Errorf("cannot clear folder of a task: %w", err)
	}
	if err := os.Mkdir(dir, 0o711); err != nil {
		return fmt.Errorf("cannot create folder of a task: %w", err)
	}
	for _, t := range f.plan.trays {
		if err := os.Mkdir(t.folder, 0o700); err != nil {
			return fmt.Errorf("cannot create folder of a task: %w", err)
		}
		if err := os.Chown(t.folder, int(f.plan.account.uid), int(f.plan.account.gid)); err != nil {
			return fmt.Errorf("cannot give folder of a task to its user: %w", err)
		}
	}
	return nil
}

// trayOf finds the tray of a plan's input or output; nil where it is a stream.
func (p plan) trayOf(output bool) *tray {
	for i := range p.trays {
		if p.trays[i].output == output {
			return &p.trays[i]
		}
	}
	return nil
}

// fill puts the input where the tool reads it. Nobody but the agent has had the folder.
func (t tray) fill(input []byte, who account) error {
	file, err := os.OpenFile(t.name(), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o400)
	if err != nil {
		return fmt.Errorf("cannot write input: %w", err)
	}
	_, err = file.Write(input)
	if err := errors.Join(err, file.Chown(int(who.uid), int(who.gid)), file.Close()); err != nil {
		return fmt.Errorf("cannot write input: %w", err)
	}
	return nil
}

// errNoFile says that a tool has not left what it was to.
var errNoFile = errors.New("it wrote no file")

// empty reads what a dead tool left, of which more than most is too much. What lies there
// is the tool's own making: no link is followed, and nothing but a file is read.
func (t tray) empty(most int64) (output []byte, excess bool, err error) {
	file, err := os.OpenFile(t.name(), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, errNoFile
	}
	if err != nil {
		return nil, false, fmt.Errorf("cannot read its file: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a file")
	}
	if err != nil {
		return nil, false, fmt.Errorf("cannot read its file: %w", err)
	}
	output, err = io.ReadAll(io.LimitReader(file, most+1))
	if int64(len(output)) > most {
		return nil, true, nil
	}
	return output, false, err
}
