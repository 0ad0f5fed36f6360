package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// slowProgram is the very program but for one line of the standard library, by which
// its wall clock is as slow as one that started anew in 1970. Nothing else sets the
// clock of one process alone.
var slowProgram = sync.OnceValues(func() (string, error) {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	clock := filepath.Join(strings.TrimSpace(string(goroot)), "src/time/time.go")
	source, err := os.ReadFile(clock)
	if err != nil {
		return "", err
	}
	const reading = "sec, nsec, mono := runtimeNow()\n\tif mono == 0 {"
	set := strings.Replace(reading, "\n", fmt.Sprintf("\n\tsec -= %d\n", slow), 1)
	changed := strings.Replace(string(source), reading, set, 1)
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
	build := exec.Command("go", "build", "-overlay", shop.path("overlay.json"), "-trimpath", "-buildvcs=false", "-tags", tags,
		"-ldflags", fmt.Sprintf("-s -w -X main.built=%d", slow), "-o", shop.path("holdfast-slow"), "holdfast")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build: %w\n%s", err, out)
	}
	return shop.path("holdfast-slow"), nil
})

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
