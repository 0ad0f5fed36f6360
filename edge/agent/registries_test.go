package agent

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/runtime/containerd"
)

func TestAgent_Registries(t *testing.T) {
	folder := t.TempDir()
	put := func(name, text string) string {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ask := func(c config.Images, credentials string) (containerd.Registries, error) {
		a := &Agent{options: Options{Getenv: func(string) string { return credentials }}}
		a.config.Store(&config.Config{Images: c})
		return a.registries()
	}
	c := config.Images{
		Mirrors: []string{"mirror.site:5000"}, Insecure: []string{"mirror.site:5000"}, Rate: 7,
		CA: put("ca.pem", "pem"), Passwords: put("passwords.json", `{"auths":{"line.example":{"username":"me","password":"secret"}}}`),
	}
	say, err := ask(c, "")
	if err != nil || !slices.Equal(say.Mirrors, c.Mirrors) || !slices.Equal(say.Insecure, c.Insecure) || say.Rate != 7 || string(say.CA) != "pem" {
		t.Errorf("got %+v, %v", say, err)
	}
	if got := say.Logins["line.example"]; got.User != "me" || got.Password != "secret" {
		t.Errorf("got login %+v", got)
	}
	if say, err := ask(config.Images{}, folder); err != nil || say.Logins != nil {
		t.Errorf("systemd has none: got %v, %v", say.Logins, err)
	}
	put(passwordsCredential, `{"auths":{"other.example":{"username":"me","password":"secret"}}}`)
	if say, err := ask(config.Images{}, folder); err != nil || say.Logins["other.example"].Password != "secret" {
		t.Errorf("systemd's: got %v, %v", say.Logins, err)
	}
	for name, c := range map[string]config.Images{
		"CAGone": {CA: filepath.Join(folder, "none")}, "PasswordsGone": {Passwords: filepath.Join(folder, "none")},
		"PasswordsNone": {Passwords: put("text", "secret")},
	} {
		if _, err := ask(c, ""); err == nil || edge.HintOf(err) == "" || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v with hint %q", name, err, edge.HintOf(err))
		}
	}
	if _, err := ask(config.Images{Passwords: folder}, ""); !errors.Is(err, edge.ErrInvalid) {
		t.Errorf("a folder: got %v, want %v", err, edge.ErrInvalid)
	}
}
