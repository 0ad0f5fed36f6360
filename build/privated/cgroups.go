package privated

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// removeCgroups removes parent and everything below it from every hierarchy,
// killing what still runs there.
func removeCgroups(parent string) error {
	if strings.Trim(parent, "/") == "" {
		return nil
	}
	var failed []error
	for _, fields := range mountTable("/proc/self/mountinfo") {
		at := slices.Index(fields, "-")
		if at < 0 || at+1 >= len(fields) || !strings.HasPrefix(fields[at+1], "cgroup") {
			continue
		}
		failed = append(failed, removeCgroupTree(filepath.Join(fields[4], filepath.Clean("/"+parent))))
	}
	return errors.Join(failed...)
}

func removeCgroupTree(top string) error {
	var dirs []string
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot walk cgroup: %w", err)
	}
	var failed []error
	for _, dir := range slices.Backward(dirs) {
		failed = append(failed, removeCgroup(dir))
	}
	return errors.Join(failed...)
}

// removeCgroup kills the members and removes the folder. The kernel lets go of a
// cgroup a moment after its last process, so it is tried for a while.
func removeCgroup(dir string) error {
	text, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs")) // gone means no members
	for _, field := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil {
			if err := kill(pid); err != nil {
				return err
			}
		}
	}
	const tries, pause = 200, 10 * time.Millisecond // two seconds in all
	var err error
	for range tries {
		if err = os.Remove(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		time.Sleep(pause)
	}
	return fmt.Errorf("cannot remove cgroup: %w", err)
}
