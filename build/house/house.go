// Package house checks that the code keeps to the plan of the house: which package
// may import which, where each third-party library lives, and the few habits of
// writing that a reviewer should not have to look for.
//
// It owns the plan (Plan in plan.go) and the checks, and promises that every
// package of the checkout is held against them: one that has no place in the plan is
// itself a finding, so that growth is a decision.
//
// # Concurrency
//
// Check is sequential and keeps nothing between calls.
//
// # Failure
//
// A file that does not parse fails the check; imports that cannot be resolved do not
// matter, for only names inside one package are looked up.
//
// # Testing
//
// The tests check this checkout, and one small tree in testdata for every rule, which
// breaks that rule and must be found out: a check that cannot fail is a defect.
package house

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// The rules, as findings name them.
const (
	rulePlace     = "place"     // a package has a place in the plan
	ruleName      = "name"      // and a name that says something
	ruleDirection = "direction" // imports run inwards
	ruleLibrary   = "library"   // libraries stay at home
	ruleAlias     = "alias"     // imports bear the names everybody knows
	ruleSilent    = "silent"    // pure packages touch nothing
	ruleInit      = "init"      // nothing runs by itself
	ruleState     = "state"     // packages keep nothing between calls
	ruleDoc       = "doc"       // packages say what they own
	ruleSleep     = "sleep"     // tests wait for events
	ruleSkip      = "skip"      // and do not excuse themselves
	ruleLength    = "length"    // files stay readable
)

// RuleNames lists every rule.
func RuleNames() []string {
	return []string{
		rulePlace, ruleName, ruleDirection, ruleLibrary, ruleAlias, ruleSilent,
		ruleInit, ruleState, ruleDoc, ruleSleep, ruleSkip, ruleLength,
	}
}

// Finding is one place where the code departs from the plan.
type Finding struct {
	Rule  string // which rule, one word
	Where string // file:line, relative to the root
	What  string // what is wrong, and what to do
	Soft  bool   // worth a look, not worth a failure
}

func (f Finding) String() string { return fmt.Sprintf("%s: %s (%s)", f.Where, f.What, f.Rule) }

// Check holds every Go file under root against the rules.
func Check(root string, rules Rules) ([]Finding, error) {
	h := &house{Rules: rules, fset: token.NewFileSet(), packages: map[string]*pkg{}}
	if err := h.load(root); err != nil {
		return nil, err
	}
	for _, dir := range h.dirs() {
		p := h.packages[dir]
		h.checkPlace(p)
		h.checkImports(p)
		h.checkState(p)
		h.checkHabits(p)
		h.checkTests(p)
	}
	slices.SortStableFunc(h.findings, func(a, b Finding) int { return cmp.Compare(a.Where, b.Where) })
	return h.findings, nil
}

// house is one walk through a tree.
type house struct {
	Rules
	fset     *token.FileSet
	packages map[string]*pkg // by folder
	findings []Finding
}

// pkg is what one folder holds.
type pkg struct {
	dir   string // relative to the root, "." for the root
	code  []*file
	tests []*file
}

// file is one parsed Go file.
type file struct {
	*ast.File
	lines int
}

// load parses every Go file that belongs to the module.
func (h *house) load(root string) error {
	return filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if entry.IsDir() {
			return enter(name, rel)
		}
		if path.Ext(rel) != ".go" {
			return nil
		}
		return h.add(name, rel)
	})
}

// enter says which folders Go itself would not look into.
func enter(name, rel string) error {
	base := path.Base(rel)
	if rel == "." {
		return nil
	}
	if base == "testdata" || base == "dist" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func (h *house) add(name, rel string) error {
	source, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("cannot read %q: %w", rel, err)
	}
	parsed, err := parser.ParseFile(h.fset, rel, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("cannot parse %q: %w", rel, err)
	}
	dir := path.Dir(rel)
	p := h.packages[dir]
	if p == nil {
		p = &pkg{dir: dir}
		h.packages[dir] = p
	}
	f := &file{File: parsed, lines: strings.Count(string(source), "\n")}
	if strings.HasSuffix(rel, "_test.go") {
		p.tests = append(p.tests, f)
	} else {
		p.code = append(p.code, f)
	}
	return nil
}

func (h *house) dirs() []string {
	dirs := make([]string, 0, len(h.packages))
	for dir := range h.packages {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	return dirs
}

// report notes a finding at a node of a file.
func (h *house) report(rule string, at ast.Node, format string, args ...any) {
	position := h.fset.Position(at.Pos())
	h.findings = append(h.findings, Finding{
		Rule:  rule,
		Where: fmt.Sprintf("%s:%d", position.Filename, position.Line),
		What:  fmt.Sprintf(format, args...),
	})
}

// within says whether dir is the folder named by pattern, or for "x/..." one at or
// below x.
func within(pattern, dir string) bool {
	if base, below := strings.CutSuffix(pattern, "/..."); below {
		return dir == base || strings.HasPrefix(dir, base+"/")
	}
	return dir == pattern
}

func withinAny(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return within(p, dir) })
}
