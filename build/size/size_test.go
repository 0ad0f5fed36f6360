package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module writes a tiny module and returns its folder.
func module(t *testing.T, source string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module tiny\n\ngo 1.26\n", "main.go": source} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const plain = "package main\n\nfunc main() { println(\"plain\") }\n"

const templated = `package main

import ("os"; "text/template")

func main() { _ = template.Must(template.New("").Parse(os.Args[1])).Execute(os.Stdout, os.Stdin) }
`

func TestRun_Record(t *testing.T) {
	o := options{pkg: module(t, plain), record: t.TempDir(), accept: true}
	var out strings.Builder
	if problems, err := run(o, &out); err != nil || len(problems) > 0 {
		t.Fatalf("accept: %v, %v", problems, err)
	}
	for _, want := range []string{"std\n", "tiny\n", "stripped: ", "; 0 modules"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("printed:\n%swant %q in it", out.String(), want)
		}
	}
	o.accept = false
	if problems, err := run(o, &out); err != nil || len(problems) > 0 {
		t.Errorf("same binary: %v, %v; want no problem", problems, err)
	}
	t.Run("GrownBinary", func(t *testing.T) {
		o.pkg = module(t, templated)
		problems, err := run(o, &out)
		if err != nil || !contains(problems, "the binary grew from") {
			t.Errorf("problems %q (%v), want the growth among them", problems, err)
		}
		if !contains(problems, "text/template.(*state).evalField looks methods up by name") {
			t.Errorf("problems %q, want the function that looks methods up among them", problems)
		}
	})
	t.Run("BrokenPackage", func(t *testing.T) {
		o.pkg = module(t, "package main\n")
		if _, err := run(o, &out); err == nil {
			t.Error("a package that does not build passed")
		}
	})
	t.Run("NoRecord", func(t *testing.T) {
		o.pkg, o.record = module(t, plain), t.TempDir()
		if _, err := run(o, &out); err == nil {
			t.Error("a missing record passed")
		}
	})
}

func contains(problems []string, text string) bool {
	return slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, text) })
}

func TestRecord_Compare(t *testing.T) {
	accepted := record{bytes: 1000, modules: []string{"a v1", "b v1"}}
	for _, c := range []struct {
		name string
		m    measurement
		want []string
	}{
		{"Same", measurement{bytes: 1000, modules: []string{"a v1", "b v1"}}, nil},
		{"OnePercent", measurement{bytes: 1010, modules: []string{"a v1", "b v1"}}, nil},
		{"Smaller", measurement{bytes: 10, modules: []string{"a v1", "b v1"}}, nil},
		{"MoreThanOnePercent", measurement{bytes: 1011, modules: []string{"a v1", "b v1"}}, []string{"grew"}},
		{"NewModule", measurement{bytes: 1000, modules: []string{"a v1", "b v1", "c v1"}}, []string{"c v1 is linked"}},
		{"NewVersion", measurement{bytes: 1000, modules: []string{"a v1", "b v2"}}, []string{"b v2 is linked", "b v1 is in deps.txt"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := accepted.compare(c.m)
			if len(got) != len(c.want) {
				t.Fatalf("got %q, want %q", got, c.want)
			}
			for i, want := range c.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("got %q, want it to say %q", got[i], want)
				}
			}
		})
	}
}

func TestMeasurement_Limits(t *testing.T) {
	if got := (measurement{bytes: budget}).limits(); got != nil {
		t.Errorf("got %q at the budget, want nothing", got)
	}
	if got := (measurement{bytes: budget + 1}).limits(); !contains(got, "over its budget") {
		t.Errorf("got %q above the budget, want a problem", got)
	}
}

func TestPackageOf_Symbols(t *testing.T) {
	for symbol, want := range map[string]string{
		"main.main": "main",
		"github.com/containerd/containerd/v2/client.(*Client).Wait":  "github.com/containerd/containerd/v2/client",
		"sync/atomic.(*Pointer[go.shape.struct { a/b.c int }]).Load": "sync/atomic",
		"gopkg.in/yaml%2ev3.Unmarshal.func1":                         "gopkg.in/yaml.v3",
		"go:string.*":                                                "",
		"type:*":                                                     "",
		"slices.SortFunc[go.shape.[]a/b.C]":                          "slices",
		"_rt0_amd64_linux":                                           "",
	} {
		if got := packageOf(symbol); got != want {
			t.Errorf("packageOf(%q) = %q, want %q", symbol, got, want)
		}
	}
}

func TestModuleOf_LongestPath(t *testing.T) {
	paths := []string{"github.com/a/b", "github.com/a/b/api", "holdfast"}
	for pkg, want := range map[string]string{
		"github.com/a/b/client":   "github.com/a/b",
		"github.com/a/b/api/v1":   "github.com/a/b/api",
		"github.com/a/bc":         "std",
		"vendor/golang.org/x/net": "std",
		"main":                    "holdfast",
		"":                        "",
	} {
		if got := moduleOf(pkg, "holdfast", paths); got != want {
			t.Errorf("moduleOf(%q) = %q, want %q", pkg, got, want)
		}
	}
}
