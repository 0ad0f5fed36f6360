package containerd

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"

	"holdfast/edge"
)

// place is a file or folder by the file system it is in, whatever path leads to it.
type place struct {
	device string // major:minor
	path   string // from the root of the file system
}

// mountRow is one line of a mountinfo file.
type mountRow struct {
	place
	point string
}

// verifyBinds looks whether what a container that stands ready has of its host is what
// was admitted. Between the two somebody who may write beside a source could have put
// a link in its stead; the runtime follows it. Each place must be there as often as it
// was given: were it enough to be there at all, one honest mount would vouch for a
// second that is not. A container that is gone needs no look.
func verifyBinds(pid uint32, binds []specs.Mount) error {
	if len(binds) == 0 {
		return nil
	}
	ours, err := mountsOf("self")
	if err != nil {
		return err
	}
	theirs, err := mountsOf(strconv.FormatUint(uint64(pid), 10))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	seen := map[place]int{}
	for _, row := range theirs {
		seen[row.place]++
	}
	for _, bind := range binds {
		want := placeOf(bind.Source, ours)
		if seen[want]--; seen[want] < 0 {
			// Nobody is to take this for a daemon that is away: the start has failed.
			return edge.WithHint(
				fmt.Errorf("what is mounted at %q is not %q, which was admitted", bind.Destination, bind.Source),
				"see who may write beside the source, and that the agent and containerd see the same file systems")
		}
	}
	return nil
}

func mountsOf(process string) ([]mountRow, error) {
	text, err := os.ReadFile("/proc/" + process + "/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cannot tell what is mounted: %w", err)
	}
	return parseMounts(text), nil
}

// parseMounts reads the columns that say what is mounted where: the third to the
// fifth of proc(5)'s mountinfo.
func parseMounts(text []byte) []mountRow {
	const device, root, point = 2, 3, 4
	spaces := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var rows []mountRow
	for line := range bytes.Lines(text) {
		if fields := strings.Fields(string(line)); len(fields) > point {
			rows = append(rows, mountRow{place{fields[device], spaces.Replace(fields[root])}, spaces.Replace(fields[point])})
		}
	}
	return rows
}

// placeOf finds where a path without links leads to: below the nearest mount point,
// of which the last one covers the others.
func placeOf(name string, rows []mountRow) place {
	var nearest mountRow
	for _, row := range rows {
		below := name == row.point || strings.HasPrefix(name, strings.TrimSuffix(row.point, "/")+"/")
		if below && len(row.point) >= len(nearest.point) {
			nearest = row
		}
	}
	return place{nearest.device, path.Join(nearest.path, strings.TrimPrefix(name, nearest.point))}
}
