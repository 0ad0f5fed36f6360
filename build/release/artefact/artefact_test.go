package artefact_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/build/image/oci"
	"holdfast/build/release/artefact"
)

const content = "a program that nobody starts here"

func sum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// pack has nfpm make a package with a program, and another file with other content.
func pack(t *testing.T, kind string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"program": content, "other": "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	type flat = map[string]any
	recipe, err := json.Marshal(flat{
		"name": "holdfast", "arch": "arm64", "version": "1.2.3", "version_schema": "none", "maintainer": "nobody <nobody@holdfast.example>", "description": "none",
		"contents": []flat{
			{"src": filepath.Join(dir, "other"), "dst": "/etc/holdfast"},
			{"src": filepath.Join(dir, "program"), "dst": "/usr/bin/holdfast"},
			{"src": filepath.Join(dir, "other"), "dst": "/usr/bin/other"},
		},
		"deb": flat{"compression": "xz"}, "rpm": flat{"compression": "xz"},
	})
	if err != nil {
		t.Fatal(err)
	}
	config, file := filepath.Join(dir, "recipe.yaml"), filepath.Join(dir, "package."+kind)
	if err := os.WriteFile(config, recipe, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "../../../.tools/bin/nfpm", "package", "--config", config, "--packager", kind, "--target", file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

func TestPackages(t *testing.T) {
	for kind, c := range map[string]struct {
		read func(string) (artefact.Said, error)
		want artefact.Said
	}{
		"deb": {func(file string) (artefact.Said, error) { return artefact.Deb(t.Context(), file) }, artefact.Said{Version: "1.2.3", Arch: "arm64"}},
		"rpm": {artefact.RPM, artefact.Said{Version: "1.2.3", Arch: "aarch64"}},
		"apk": {artefact.Apk, artefact.Said{Version: "1.2.3", Arch: "aarch64"}},
	} {
		t.Run(kind, func(t *testing.T) {
			file := pack(t, kind)
			c.want.Program = sum(content)
			got, err := c.read(file)
			if err != nil || got != c.want {
				t.Fatalf("got %+v, %v, want %+v", got, err, c.want)
			}
			wantRefused(t, file, c.read)
		})
	}
}

// wantRefused cuts a file at many places: the reader must neither panic nor take what is left
// for whole when the part it reads is not there.
func wantRefused(t *testing.T, file string, read func(string) (artefact.Said, error)) {
	t.Helper()
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(whole)/2; at += max(1, len(whole)/200) {
		if err := os.WriteFile(file, whole[:at], 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := read(file); err == nil && got.Program != sum(content) {
			t.Fatalf("cut at %d of %d it says %+v", at, len(whole), got)
		}
	}
	if err := os.WriteFile(file, []byte("no package, but long enough to be looked into: "+strings.Repeat("x", 200)), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := read(file); err == nil {
		t.Errorf("of no package it says %+v", got)
	}
}

// elf is the least that an image's maker takes for a program of a machine.
func elf(t *testing.T, goarch, version string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+version, "-o", file, "../testdata/agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+goarch, "GOARM=7")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

func TestImage(t *testing.T) {
	binaries := map[string]string{"linux/amd64": elf(t, "amd64", "v1"), "linux/arm/v7": elf(t, "arm", "v1")}
	index, err := oci.Build(oci.Spec{
		Name: "holdfast.example/holdfast:1", Entry: []string{"/usr/bin/holdfast"}, User: "0:0",
		Labels: map[string]string{"org.opencontainers.image.version": "v1"}, Binaries: binaries,
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "image.tar")
	if _, err := oci.WriteArchive(file, "holdfast.example/holdfast:1", index); err != nil {
		t.Fatal(err)
	}
	want := map[string]artefact.Said{}
	for platform, program := range binaries {
		of, err := artefact.Sum(program)
		if err != nil {
			t.Fatal(err)
		}
		want[platform] = artefact.Said{Version: "v1", Arch: strings.Split(platform, "/")[1], Program: of}
	}
	if got, err := artefact.Image(file, "/usr/bin/holdfast"); err != nil || !maps.Equal(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if got, err := artefact.Image(file, "/usr/bin/other"); err == nil {
		t.Errorf("of a program that is not there it says %+v", got)
	}
	// One letter of a label, in the archive as it lies.
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(text), `image.version":"v1"`, `image.version":"v2"`, 1)
	if err := os.WriteFile(file, []byte(other), 0o644); err != nil || other == string(text) {
		t.Fatalf("cannot change the image: %v", err)
	}
	if got, err := artefact.Image(file, "/usr/bin/holdfast"); err == nil || !strings.Contains(err.Error(), "has the sum") {
		t.Errorf("changed on the way it says %+v, %v", got, err)
	}
}

func TestProgram(t *testing.T) {
	for goarch, machine := range map[string]string{"amd64": "linux/amd64", "arm64": "linux/arm64", "arm": "linux/arm"} {
		file := elf(t, goarch, "v1.2.3-4-gabcdef0")
		of, err := artefact.Sum(file)
		if err != nil {
			t.Fatal(err)
		}
		want := artefact.Said{Version: "v1.2.3-4-gabcdef0", Arch: machine, Program: of}
		if got, err := artefact.Program(t.Context(), file, goarch); err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if got, err := artefact.Program(t.Context(), "/bin/false", "amd64"); err == nil {
		t.Errorf("of a program that fails it says %+v", got)
	}
}
