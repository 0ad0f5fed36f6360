package house_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"holdfast/build/house"
)

// TestHouse_Checkout holds this checkout against the plan.
func TestHouse_Checkout(t *testing.T) {
	findings, err := house.Check("../..", house.Plan())
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range findings {
		if finding.Soft {
			t.Log(finding)
			continue
		}
		t.Error(finding)
	}
}

// TestHouse_Violations is the negative control: every tree breaks the rules its head
// names, and exactly those must be found.
func TestHouse_Violations(t *testing.T) {
	trees, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(trees) == 0 {
		t.Fatalf("found %d trees: %v", len(trees), err)
	}
	for _, name := range trees {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := check(t, archive)
			want := wanted(string(archive.Comment))
			for _, finding := range got {
				if !slices.Contains(want, finding) {
					t.Errorf("found %q, which the tree does not name", finding)
				}
			}
			for _, finding := range want {
				if !slices.Contains(got, finding) {
					t.Errorf("found nothing at %q, want a finding", finding)
				}
			}
		})
	}
}

// check writes the tree out and returns its findings as "rule file:line".
func check(t *testing.T, archive *txtar.Archive) []string {
	t.Helper()
	root := t.TempDir()
	if err := txtar.Write(archive, root); err != nil {
		t.Fatal(err)
	}
	findings, err := house.Check(root, house.Plan())
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, finding := range findings {
		found = append(found, finding.Rule+" "+finding.Where)
	}
	return found
}

func wanted(head string) []string {
	var want []string
	for line := range strings.Lines(head) {
		if finding, ok := strings.CutPrefix(line, "want: "); ok {
			want = append(want, strings.TrimSpace(finding))
		}
	}
	return want
}

// TestHouse_EveryRuleHasATree makes sure that a rule added to the checker also has a
// tree that breaks it.
func TestHouse_EveryRuleHasATree(t *testing.T) {
	trees := ""
	names, _ := filepath.Glob("testdata/*.txtar")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		trees += string(text)
	}
	for _, rule := range house.RuleNames() {
		if rule != "length" && !strings.Contains(trees, "want: "+rule+" ") {
			t.Errorf("no tree in testdata breaks the rule %q", rule)
		}
	}
}

func TestHouse_LongFiles(t *testing.T) {
	root := t.TempDir()
	long := "// Package edge is a fixture with a long file.\npackage edge\n" + strings.Repeat("\n", 400)
	if err := os.MkdirAll(filepath.Join(root, "edge"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "edge", "edge.go"), []byte(long), 0o644); err != nil {
		t.Fatal(err)
	}
	findings, err := house.Check(root, house.Plan())
	if err != nil || len(findings) != 1 || findings[0].Rule != "length" || !findings[0].Soft {
		t.Errorf("found %v (%v), want one soft finding about its length", findings, err)
	}
}

func TestHouse_BrokenSource(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "main.go"), []byte("package"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := house.Check(root, house.Plan()); err == nil {
		t.Error("a file that does not parse passed")
	}
}
