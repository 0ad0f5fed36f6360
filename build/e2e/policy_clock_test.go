package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// slowProgram is the very program but for one line of Go's runtime, by which its wall clock
// is as slow as one that started anew in 1970. Nothing else sets the clock of one process
// alone. Only the runtime is compiled anew: what it gives to others stays as it was, so the
// program's other packages are linked to it as they are.
var slowProgram = sync.OnceValues(func() (string, error) {
	goroot, err := goSays("env", "GOROOT")
	if err != nil {
		return "", err
	}
	clock := filepath.Join(strings.TrimSpace(goroot), "src/runtime/time.go")
	source, err := os.ReadFile(clock)
	if err != nil {
		return "", err
	}
	const reading = "\treturn time_now()\n}"
	// On one line, since line numbers are told to other packages.
	changed := strings.Replace(string(source), reading, fmt.Sprintf("\tsec, nsec, mono = time_now(); sec -= %d; return\n}", slow), 1)
	if changed == string(source) {
		return "", fmt.Errorf("%s does not read the clock by %q", clock, reading)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{clock: shop.path("time.go")}})
	if err != nil {
		return "", err
	}
	err = errors.Join(os.WriteFile(shop.path("time.go"), []byte(changed), 0o600), os.WriteFile(shop.path("overlay.json"), overlay, 0o600))
	if err != nil {
		return "", err
	}
	return linkSlow()
})

// linkSlow links the program's packages with the runtime of the overlay.
func linkSlow() (string, error) {
	const archive = "{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}"
	packages, err := goSays("list", "-deps", "-export", "-trimpath", "-tags", tags, "-f", archive, "holdfast")
	if err != nil {
		return "", err
	}
	runtime, err := goSays("list", "-overlay", shop.path("overlay.json"), "-export", "-trimpath", "-tags", tags, "-f", archive, "runtime")
	if err != nil {
		return "", err
	}
	list := regexp.MustCompile(`(?m)^packagefile runtime=.*$`).ReplaceAllLiteralString(packages, strings.TrimSpace(runtime))
	if err := os.WriteFile(shop.path("packages.cfg"), []byte(list), 0o600); err != nil {
		return "", err
	}
	program := regexp.MustCompile(`(?m)^packagefile holdfast=(.*)$`).FindStringSubmatch(list)
	if program == nil {
		return "", fmt.Errorf("go list tells of no program:\n%s", list)
	}
	_, err = goSays("tool", "link", "-o", shop.path("holdfast-slow"), "-importcfg", shop.path("packages.cfg"), "-buildmode=exe",
		"-s", "-w", "-X", fmt.Sprintf("main.built=%d", slow), program[1])
	return shop.path("holdfast-slow"), err
}

// goSays runs go, without cgo, and returns what it prints.
func goSays(arguments ...string) (string, error) {
	run := exec.Command("go", arguments...)
	run.Env = append(os.Environ(), "CGO_ENABLED=0")
	var complaint strings.Builder
	run.Stderr = &complaint
	out, err := run.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(arguments, " "), err, complaint.String())
	}
	return string(out), nil
}

// slow is by how many seconds: 55 years, up to the New Year of 2025, which counts as
// the day the program was built. It is a constant, so that compiling is done once.
const slow = 1_735_689_600

// bootSlow has the agent start cut off from any network, by a clock that is as slow as
// that of a machine without a battery. It returns the program.
func (n *node) bootSlow() string {
	n.t.Helper()
	program, err := slowProgram()
	if err != nil {
		n.t.Fatal(err)
	}
	n.Through("unshare", "--net", "sh", "-c", `shift; exec "$0" "$@"`, program)
	return program
}
