package slots

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	goruntime "runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Binary is a program as its release describes it.
type Binary struct {
	Version  string `json:"version"`
	Sequence uint64 `json:"sequence"` // of releases; newer ones have higher ones
	Digest   string `json:"digest"`   // "sha256:" and 64 hexadecimal digits, lower case
	Size     int64  `json:"size"`     // bytes
}

const (
	digestPrefix = "sha256:"
	maxVersion   = 64       // bytes
	maxSize      = 64 << 20 // bytes: more than twice what the program has
)

// Check says what is wrong with a description.
func (b Binary) Check() error {
	sum, err := hex.DecodeString(strings.TrimPrefix(b.Digest, digestPrefix))
	switch {
	case b.Version == "" || len(b.Version) > maxVersion || strings.ContainsFunc(b.Version, func(r rune) bool { return r <= ' ' || r > '~' }):
		return refuse("version %q is not accepted", b.Version)
	case err != nil || len(sum) != sha256.Size || digestPrefix+hex.EncodeToString(sum) != b.Digest:
		return refuse("digest %q is not accepted", b.Digest)
	case b.Size < headSize || b.Size > maxSize:
		return refuse("size of %d bytes is not accepted", b.Size)
	}
	return nil
}

// verify reads the whole program under a path and returns nil if it is the one described
// and made for this machine.
func (b Binary) verify(ctx context.Context, path string) error {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe would wait for a writer
	if err != nil {
		return err
	}
	defer file.Close()
	switch info, err := file.Stat(); {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("it is not a file")
	case info.Size() != b.Size:
		return fmt.Errorf("it has %d bytes, and should have %d", info.Size(), b.Size)
	}
	var head [headSize]byte
	if _, err := file.ReadAt(head[:], 0); err != nil {
		return err
	}
	if err := checkMachine(head[:], goruntime.GOARCH); err != nil {
		return err
	}
	return b.verifyContent(ctx, file)
}

// piece is read at once: it stays in a processor's cache.
const piece = 256 << 10

func (b Binary) verifyContent(ctx context.Context, file io.Reader) error {
	sum, buffer := sha256.New(), make([]byte, min(piece, b.Size))
	for ctx.Err() == nil {
		n, err := file.Read(buffer)
		sum.Write(buffer[:n])
		if errors.Is(err, io.EOF) {
			if got := digestPrefix + hex.EncodeToString(sum.Sum(nil)); got != b.Digest {
				return fmt.Errorf("its digest is %s, and should be %s", got, b.Digest)
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// headSize is what of an ELF file says what it is made for.
const headSize = 20

// machines are ELF's numbers for what Go calls architectures, with the class: 1 is 32 bit.
var machines = map[string]struct {
	class byte
	id    uint16
}{
	"386": {1, 3}, "arm": {1, 40}, "amd64": {2, 62}, "arm64": {2, 183}, "riscv64": {2, 243},
}

// checkMachine holds the head of a program against the architecture of this one. A kernel
// may start others, by emulation or in a mode of 32 bits; a release for this machine is
// never one of them.
func checkMachine(head []byte, arch string) error {
	const executable, shared = 2, 3
	if len(head) < headSize || !bytes.HasPrefix(head, []byte("\x7fELF")) {
		return errors.New("it is not a program")
	}
	kind, machine := binary.LittleEndian.Uint16(head[16:]), binary.LittleEndian.Uint16(head[18:])
	want := machines[arch]
	switch {
	case head[4] != want.class || head[5] != 1 || machine != want.id:
		return fmt.Errorf("it is for another architecture than %s", arch)
	case kind != executable && kind != shared:
		return errors.New("it is not a program that can be started")
	}
	return nil
}
