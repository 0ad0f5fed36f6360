package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/edge"
)

// newMachineRig is a machine of files, that notes how it is rebooted.
func newMachineRig(t *testing.T, files map[string]string) (m machine, asked *[]string) {
	t.Helper()
	asked = new([]string)
	m = machine{
		root: t.TempDir(),
		ask:  func(context.Context) error { *asked = append(*asked, "systemd"); return nil },
		cut:  func() error { *asked = append(*asked, "kernel"); return nil },
	}
	for name, text := range files {
		path := filepath.Join(m.root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return m, asked
}

func TestMachine_Reboot(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		asked string // empty: it is refused
	}{
		"Systemd":      {map[string]string{"proc/1/comm": "systemd\n", "run/systemd/system/x": ""}, "systemd"},
		"OtherInit":    {map[string]string{"proc/1/comm": "init\n"}, "kernel"},
		"NotBooted":    {map[string]string{"proc/1/comm": "systemd\n"}, "kernel"},
		"NothingKnown": {nil, "kernel"},
		"Podman":       {map[string]string{"run/.containerenv": ""}, ""},
		"Docker":       {map[string]string{".dockerenv": "", "proc/1/comm": "systemd\n", "run/systemd/system/x": ""}, ""},
		"Nspawn":       {map[string]string{"proc/1/environ": "HOME=/\x00container=systemd-nspawn\x00", "proc/1/comm": "systemd\n"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m, asked := newMachineRig(t, c.files)
			err := m.Reboot(t.Context())
			if got := strings.Join(*asked, " "); got != c.asked {
				t.Errorf("got %q asked, want %q", got, c.asked)
			}
			if refusal, is := edge.AsRefusal(err); is != (c.asked == "") || is && refusal.Reason != edge.ReasonDenied {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("Fails", func(t *testing.T) {
		m, _ := newMachineRig(t, nil)
		cause := errors.New("not permitted")
		m.cut = func() error { return cause }
		if err := m.Reboot(t.Context()); !errors.Is(err, cause) {
			t.Errorf("got %v, want %v", err, cause)
		}
	})
}
