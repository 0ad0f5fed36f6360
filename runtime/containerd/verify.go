package containerd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/pkg/cap"

	"holdfast/edge"
)

// guise is what the kernel says of a process, or ought to say: the part of
// /proc/<pid>/status that shows whether it is hardened.
type guise struct {
	uid        [4]uint32 // real, effective, saved, file system
	caps       uint64    // effective
	permitted  uint64
	bounding   uint64 // inheritable and ambient ones are always among the permitted
	noNewPrivs bool
	seccomp    int  // 2: filtered
	ownPIDs    bool // in a PID namespace of its own
}

const seccompFiltered = 2

// guise is what a container of the plan must look like.
func (p plan) guise() guise {
	mask, uid := capabilityMask(p.caps), p.account.uid
	g := guise{uid: [4]uint32{uid, uid, uid, uid}, caps: mask, permitted: mask, bounding: mask, ownPIDs: true}
	if !p.workload.Security.Privileged {
		g.noNewPrivs, g.seccomp = true, seccompFiltered
	}
	return g
}

// capabilitiesOf lists what a container has of root's powers.
func capabilitiesOf(s edge.Security) ([]string, error) {
	if !s.Privileged {
		return capabilities(s.CapAdd)
	}
	return allCapabilities()
}

// allCapabilities are those the machine's first process may have: no container can
// have others, and the agent's own may be fewer.
func allCapabilities() ([]string, error) {
	status, err := os.Open("/proc/1/status")
	if err != nil {
		return nil, fmt.Errorf("cannot tell what capabilities there are: %w", err)
	}
	defer status.Close()
	sets, err := cap.ParseProcPIDStatus(status)
	if err != nil {
		return nil, fmt.Errorf("cannot tell what capabilities there are: %w", err)
	}
	names, _ := cap.FromBitmap(sets[cap.Bounding]) // those without a name stay behind
	return names, nil
}

// capabilities spells names out and refuses those there are not.
func capabilities(names []string) ([]string, error) {
	full := []string{}
	for _, name := range names {
		name = strings.ToUpper(name)
		if !strings.HasPrefix(name, "CAP_") {
			name = "CAP_" + name
		}
		if !slices.Contains(cap.Known(), name) {
			return nil, fmt.Errorf("there is no capability %q: %w", name, edge.ErrInvalid)
		}
		full = append(full, name)
	}
	return full, nil
}

// capabilityMask sets the bit of each capability, as the kernel shows them.
func capabilityMask(names []string) uint64 {
	var mask uint64
	for number, name := range cap.Known() {
		if slices.Contains(names, name) {
			mask |= 1 << number
		}
	}
	return mask
}

// verifyWithin bounds how long a started process may take to become what it was
// asked to be. The runtime reports it started just before its last steps, the
// filter and the program; they take less than a millisecond.
const verifyWithin = 2 * time.Second

// verify compares what the kernel says of a process with what was asked for. A
// process that has ended already needs no more judging.
func verify(ctx context.Context, pid uint32, want guise) error {
	const glance = 200 * time.Microsecond
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	until := time.Now().Add(verifyWithin)
	for {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot verify process %d: %w", pid, err)
		}
		got, ended, err := parseGuise(text)
		if err != nil || ended {
			return err
		}
		if got == want {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("process %d is not hardened as asked: %s", pid, got.difference(want))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// parseGuise reads a status file and tells whether the process has ended.
func parseGuise(text []byte) (got guise, ended bool, err error) {
	var failed []error
	number := func(value string, base, bits int) uint64 {
		n, err := strconv.ParseUint(value, base, bits)
		failed = append(failed, err)
		return n
	}
	told := make(map[string]bool)
	for line := range bytes.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(string(line)), ":\t")
		told[key] = true
		switch key {
		case "State":
			ended = strings.HasPrefix(value, "Z") || strings.HasPrefix(value, "X")
		case "Uid":
			fields := strings.Fields(value)
			if len(fields) != len(got.uid) {
				return got, ended, fmt.Errorf("cannot parse user ids %q", value)
			}
			for i, field := range fields {
				got.uid[i] = uint32(number(field, 10, 32))
			}
		case "CapEff":
			got.caps = number(value, 16, 64)
		case "CapPrm":
			got.permitted = number(value, 16, 64)
		case "CapBnd":
			got.bounding = number(value, 16, 64)
		case "NoNewPrivs":
			got.noNewPrivs = number(value, 10, 8) == 1
		case "Seccomp":
			got.seccomp = int(number(value, 10, 8))
		case "NSpid":
			got.ownPIDs = len(strings.Fields(value)) > 1 // one number for each namespace it is in
		}
	}
	for _, key := range []string{"Uid", "CapEff", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp", "NSpid"} {
		if !told[key] && !ended {
			failed = append(failed, fmt.Errorf("the kernel does not tell %s", key))
		}
	}
	return got, ended, errors.Join(failed...)
}

// difference says for a person where got departs from want.
func (g guise) difference(want guise) string {
	var parts []string
	note := func(what string, got, want any) {
		if got != want {
			parts = append(parts, fmt.Sprintf("%s %v instead of %v", what, got, want))
		}
	}
	note("user ids", g.uid, want.uid)
	note("effective capabilities", fmt.Sprintf("%#x", g.caps), fmt.Sprintf("%#x", want.caps))
	note("permitted capabilities", fmt.Sprintf("%#x", g.permitted), fmt.Sprintf("%#x", want.permitted))
	note("bounding capabilities", fmt.Sprintf("%#x", g.bounding), fmt.Sprintf("%#x", want.bounding))
	note("no new privileges", g.noNewPrivs, want.noNewPrivs)
	note("seccomp mode", g.seccomp, want.seccomp)
	note("own PID namespace", g.ownPIDs, want.ownPIDs)
	return strings.Join(parts, ", ")
}
