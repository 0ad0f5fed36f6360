package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// honest is a program that behaves as the agent does in the verbs that are tried.
const honest = `package main

import ("fmt"; "os"; "runtime"; "strings")

func main() {
	if os.Args[1] == "version" {
		fmt.Println("holdfast test (linux/"+runtime.GOARCH+")")
		return
	}
	text, _ := os.ReadFile(os.Args[4])
	if strings.Contains(string(text), "many") {
		fmt.Fprintln(os.Stderr, os.Args[4]+":2: slots is not a number")
		os.Exit(2)
	}
}
`

// program builds source for one machine under the name of a release binary.
func program(t *testing.T, source, name string, env ...string) string {
	t.Helper()
	dir := t.TempDir()
	for file, text := range map[string]string{"go.mod": "module tiny\n\ngo 1.26\n", "main.go": source} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-s -w", "-o", name, ".")
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build: %v\n%s", err, out)
	}
	return filepath.Join(dir, name)
}

func TestLook_RunsOnArm(t *testing.T) {
	for name, env := range map[string][]string{
		"holdfast-linux-arm64": {"GOARCH=arm64"},
		"holdfast-linux-armv7": {"GOARCH=arm", "GOARM=7"},
	} {
		t.Run(strings.TrimPrefix(name, "holdfast-linux-"), func(t *testing.T) {
			facts, err := look(t.Context(), program(t, honest, name, env...), true)
			if err != nil || !strings.Contains(facts, "says holdfast test (linux/arm") {
				t.Errorf("got %q, %v; want what the program says on arm", facts, err)
			}
		})
	}
}

// TestLook_Wrong is the negative control: each binary is wrong in one way.
func TestLook_Wrong(t *testing.T) {
	silent := strings.ReplaceAll(honest, `"holdfast test (linux/"+runtime.GOARCH+")"`, "runtime.GOOS")
	credulous := strings.ReplaceAll(honest, "os.Exit(2)", "os.Exit(0)")
	vague := strings.ReplaceAll(honest, `os.Args[4]+":2: slots`, `"slots`)
	fussy := strings.ReplaceAll(honest, `"many"`, `"slots"`)
	for name, c := range map[string]struct{ file, want string }{
		"OtherMachine":   {program(t, honest, "holdfast-linux-armv7", "GOARCH=amd64"), "is for EM_X86_64, want EM_ARM"},
		"NoVersion":      {program(t, silent, "holdfast-linux-amd64"), "want linux/amd64 in it"},
		"AcceptsAll":     {program(t, credulous, "holdfast-linux-amd64"), "a bad configuration is accepted"},
		"NamesNoPlace":   {program(t, vague, "holdfast-linux-amd64"), "without its place"},
		"RefusesAll":     {program(t, fussy, "holdfast-linux-amd64"), "a good configuration is refused"},
		"UnknownMachine": {"holdfast-linux-mips", "cannot tell the machine"},
		"Dynamic":        {dynamic(t), "not static: it asks for an interpreter"},
		"NoEmulator":     {program(t, honest, "holdfast-linux-386", "GOARCH=386"), "no emulator for 386"},
		"NotABinary":     {script(t), "cannot read binary"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := look(t.Context(), c.file, true); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error that says %q", err, c.want)
			}
		})
	}
}

// dynamic links a program against the C library.
func dynamic(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "holdfast-linux-amd64")
	cmd := exec.Command("gcc", "-x", "c", "-o", file, "-")
	cmd.Stdin = strings.NewReader("int main(void) { return 0; }\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build: %v\n%s", err, out)
	}
	return file
}

func script(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "holdfast-linux-amd64")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}
