package desk

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
)

// read finds out what a file of history holds. One that cannot be read at all is set
// aside, so that the history of this node begins anew and that of the others goes on.
func (h *history) read(id streamID) (*kept, error) {
	k, err := h.recall(id)
	if !isDamage(err) {
		return k, err
	}
	aside := fmt.Sprintf("%s.damaged-%d", h.path(id), time.Now().UnixNano())
	if err := os.Rename(h.path(id), aside); err != nil {
		return nil, err
	}
	h.log.Warn("history file set aside", "node", id.node, "epoch", id.epoch, "file", aside, "err", err)
	return &kept{}, syncFolders(filepath.Dir(aside))
}

// isDamage tells whether an error is one of the file and not of the disk: what is there is
// no file, or its bytes do not come back.
func isDamage(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, errNoFile)
}

var errNoFile = errors.New("it is no regular file")

// recall reads a file to its end. What follows the last whole line is dropped, as a crash
// cut it off, and what is left is flushed: a process that was killed may not have come to
// that. Lines that cannot be read stay, and count for nothing.
func (h *history) recall(id streamID) (_ *kept, err error) {
	k := &kept{}
	info, err := os.Stat(h.path(id))
	if errors.Is(err, os.ErrNotExist) {
		return k, nil
	}
	if err == nil && !info.Mode().IsRegular() {
		err = errNoFile
	}
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(h.path(id), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	d, err := k.recall(id, file)
	if err != nil {
		return nil, err
	}
	if d.lines > 0 {
		h.log.Warn("lines of history not readable", "node", id.node, "epoch", id.epoch, "lines", d.lines, "bytes", d.bytes, "first", d.first, "err", d.why)
	}
	if d.tail > maxLine { // a line that was cut off is no news
		h.log.Warn("end of history cut off", "node", id.node, "epoch", id.epoch, "at", k.size, "bytes", d.tail)
	}
	k.flushed = k.through
	return k, errors.Join(file.Truncate(k.size), file.Sync())
}

// damage is what of a file is of no use.
type damage struct {
	lines        int
	bytes, first int64 // of those lines, and where the first begins
	why          error // of the first
	tail         int64 // bytes behind the last whole line
}

// recall takes up the lines of a file.
func (k *kept) recall(id streamID, file io.Reader) (d damage, err error) {
	lines := bufio.NewReaderSize(file, maxLine)
	var line []byte
	for {
		var size int64
		line, size, err = readLine(lines, line[:0])
		if errors.Is(err, io.EOF) {
			d.tail = size
			return d, nil
		}
		if err != nil {
			return d, err
		}
		if n, err := spanOfLine(id, line); err == nil {
			k.add(n)
		} else {
			if d.lines == 0 {
				d.first, d.why = k.size, err
			}
			d.lines, d.bytes = d.lines+1, d.bytes+size
		}
		k.size += size
	}
}

// readLine reads one whole line and tells its size in the file. Zeros before it, which a
// power cut leaves of what was on its way to the disk, are left out; of one that is longer
// than any of ours nothing comes back. io.EOF is also for one without an end.
func readLine(r *bufio.Reader, line []byte) (_ []byte, size int64, err error) {
	for long := false; ; {
		part, err := r.ReadSlice('\n')
		size += int64(len(part))
		if len(line) == 0 {
			part = bytes.TrimLeft(part, "\x00")
		}
		if long = long || len(line)+len(part) > maxLine; long {
			part, line = nil, nil
		}
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, size, err
		}
	}
}

// spanOfLine is the numbers a line stands for.
func spanOfLine(id streamID, line []byte) (span, error) {
	if strings.HasPrefix(string(line[:min(len(line), 8)]), `{"desk":`) {
		var b baseline
		if err := json.Unmarshal(line, &b); err != nil || b.Desk != "baseline" || b.From == 0 || b.To < b.From {
			return span{}, fmt.Errorf("cannot read baseline: %w", edge.ErrInvalid)
		}
		return span{b.From, b.To}, nil
	}
	u, err := mqtt.DecodeEnvelope(bytes.TrimSpace(line))
	if err != nil {
		return span{}, err
	}
	if u.Node != id.node || u.Epoch != id.epoch {
		return span{}, fmt.Errorf("it belongs to node %q, epoch %s: %w", u.Node, u.Epoch, edge.ErrInvalid)
	}
	return spanOf(u)
}
