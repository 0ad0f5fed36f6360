package host

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// shimName is the program that containerd starts for each container.
const shimName = "containerd-shim-runc-v2"

var shimVersion = regexp.MustCompile(`(?m)^\s*Version:\s*v?(\d+)\.(\d+)\.(\d+)\S*`)

// checkShim asks for containerd's helper, and whether the running daemon gets on with it.
func checkShim(ctx context.Context, o CheckOptions) Finding {
	const code, remedy = "shim", "install it with containerd (apt-get install containerd), in the same folder or on its PATH"
	program, err := o.findShim()
	if err != nil && o.Beside == "" { // it may lie beside a containerd that does not run
		return finding(code, LevelWarn, shimName, err.Error(), remedy)
	}
	if err != nil {
		return finding(code, LevelFail, shimName, err.Error(), remedy)
	}
	output, err := o.run(ctx, program, "-v")
	if err != nil {
		return finding(code, LevelFail, program, err.Error(), remedy)
	}
	match := shimVersion.FindStringSubmatch(output)
	if match == nil { // a build of no release does not say one
		return finding(code, LevelOK, program, "runs, and does not say its version", "")
	}
	text := "is version " + match[1] + "." + match[2] + "." + match[3]
	daemon := regexp.MustCompile(`^v?(\d+)\.(\d+)`).FindStringSubmatch(o.ContainerdVersion)
	if daemon != nil && slices.Compare(numbers(match[1:3]), numbers(daemon[1:])) > 0 {
		return finding(code, LevelWarn, program, text+", newer than the running containerd "+o.ContainerdVersion+", which may not start it",
			"restart containerd (systemctl restart containerd); what runs goes on")
	}
	return finding(code, LevelOK, program, text, "")
}

// numbers reads parts of a version that are digits.
func numbers(parts []string) (list []int) {
	for _, part := range parts {
		n, _ := strconv.Atoi(part) // too many digits read as the greatest number
		list = append(list, n)
	}
	return list
}

// findShim looks where containerd does, and where a service's PATH may not lead.
func (o CheckOptions) findShim() (string, error) {
	if o.Shim != "" {
		return exec.LookPath(o.Shim)
	}
	if o.Beside != "" {
		if path, err := exec.LookPath(filepath.Join(filepath.Dir(o.Beside), shimName)); err == nil {
			return path, nil
		}
	}
	return findProgram(shimName)
}

// run has a program say something, within the patience there is.
func (o CheckOptions) run(ctx context.Context, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Patience)
	defer cancel()
	command := exec.CommandContext(ctx, program, args...)
	command.WaitDelay = time.Second // a child of its own may hold the pipe open
	var output bytes.Buffer
	command.Stdout = &output
	if err := command.Run(); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("did not say its version within %v", o.Patience)
		}
		return "", err
	}
	return output.String(), nil
}
