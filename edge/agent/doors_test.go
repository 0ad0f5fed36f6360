package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/edge/config"
	"holdfast/edge/localapi"
)

// doorsAgent is an agent that has doors and nobody behind them.
func doorsAgent(t *testing.T, credentials string) *Agent {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	a := &Agent{options: Options{Log: log, Getenv: func(name string) string {
		if name == "CREDENTIALS_DIRECTORY" {
			return credentials
		}
		return ""
	}}}
	a.chronicle = newChronicle(log)
	a.warnings = newWarnings(a.chronicle)
	var err error
	a.api, err = localapi.New(localapi.Options{
		Socket: "/nowhere", Inference: inference{}, Models: models{}, Node: node{a}, Events: a.chronicle,
		Images: admitImages{}, Volumes: volumes{a}, Logs: logs{a}, Policies: policies{a}, Live: live{a},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.api.Close)
	return a
}

func TestAgent_TakeToken(t *testing.T) {
	const good = "0123456789abcdef\n"
	cases := map[string]struct {
		text    string
		mode    os.FileMode
		warning string // what it says; empty: there is none
	}{
		"Good":         {good, 0o600, ""},
		"OwnersAlone":  {good, 0o400, ""},
		"ReadByOthers": {good, 0o644, "others than its owner can reach"},
		"Short":        {"0123456789abcde\n", 0o600, "at least 16 characters"},
		"WithSpaces":   {"correct horse battery staple", 0o600, "without spaces"},
		"TwoLines":     {good + good, 0o600, "not one line"},
		"Empty":        {"", 0o600, "not one line"},
		"Endless":      {strings.Repeat("x", 5000), 0o600, "more than"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(path, []byte(c.text), c.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			a := doorsAgent(t, "")
			a.takeToken(config.Config{API: config.API{TokenFile: path}})
			wantTokenWarning(t, a, c.warning)
			a.takeToken(config.Config{})
			wantTokenWarning(t, a, "")
		})
	}
	t.Run("Missing", func(t *testing.T) {
		a := doorsAgent(t, "")
		a.takeToken(config.Config{API: config.API{TokenFile: filepath.Join(t.TempDir(), "none")}})
		wantTokenWarning(t, a, "no such file")
	})
	t.Run("Credential", func(t *testing.T) {
		folder := t.TempDir()
		if got := tokenPath(config.Config{}, func(string) string { return folder }); got != "" {
			t.Errorf("without one: got %q", got)
		}
		path := filepath.Join(folder, "api-token")
		if err := os.WriteFile(path, []byte("short"), 0o400); err != nil {
			t.Fatal(err)
		}
		a := doorsAgent(t, folder)
		a.takeToken(config.Config{})
		wantTokenWarning(t, a, "at least 16 characters")
		a.takeToken(config.Config{API: config.API{TokenFile: "/named"}})
		wantTokenWarning(t, a, "/named")
	})
}

func wantTokenWarning(t *testing.T, a *Agent, says string) {
	t.Helper()
	all := a.warnings.All()
	switch {
	case says == "" && len(all) > 0:
		t.Errorf("got %+v, want no warning", all)
	case says == "":
	case len(all) != 1 || all[0].Code != codeAPIToken || !strings.Contains(all[0].Detail, says):
		t.Errorf("got %+v, want one that says %q", all, says)
	case strings.Contains(all[0].Detail, "0123456789abcde"):
		t.Errorf("it shows the token: %+v", all)
	}
}

func TestAgent_SocketGroup(t *testing.T) {
	for name, want := range map[string]struct {
		group    int
		warnings int
	}{
		"":                 {0, 0},
		"4711":             {4711, 0},
		"root":             {0, 0},
		"daemon":           {1, 0},
		"no-such-group-xy": {0, 1},
	} {
		a := doorsAgent(t, "")
		if got := a.socketGroup(config.Config{API: config.API{Group: name}}); got != want.group || len(a.warnings.All()) != want.warnings {
			t.Errorf("%q: got %d with %v, want %d with %d", name, got, a.warnings.All(), want.group, want.warnings)
		}
	}
}

func TestAgent_Asked(t *testing.T) {
	a := doorsAgent(t, "")
	a.asked("POST /v1/drain", "local API, uid 0, pid 7")
	events := a.chronicle.Since(0)
	if len(events) != 1 || events[0].Kind != "api-asked" || events[0].Subject != "POST /v1/drain" || events[0].Cause != "local API, uid 0, pid 7" {
		t.Errorf("got %+v", events)
	}
}
