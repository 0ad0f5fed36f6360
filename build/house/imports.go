package house

import (
	"go/ast"
	"path"
	"strconv"
	"strings"
)

// checkPlace finds a package the plan does not know, and one whose name says nothing.
func (h *house) checkPlace(p *pkg) {
	first := append(append([]*file{}, p.code...), p.tests...)[0]
	if _, known := h.room(p.dir); !known {
		h.report(rulePlace, first.Name, "folder %q has no place in the plan of the house: add it to build/house/plan.go with what it may import", p.dir)
	}
	for _, f := range p.code {
		for _, bad := range h.BadNames {
			if f.Name.Name == bad {
				h.report(ruleName, f.Name, "package name %q says nothing of what it owns", bad)
			}
		}
	}
}

// room returns what the package in dir may import of ours, by the most exact entry.
func (h *house) room(dir string) ([]string, bool) {
	if allowed, exact := h.Rooms[dir]; exact {
		return allowed, true
	}
	for pattern, allowed := range h.Rooms {
		if within(pattern, dir) {
			return allowed, true
		}
	}
	return nil, false
}

func (h *house) checkImports(p *pkg) {
	for _, f := range p.code {
		for _, spec := range f.Imports {
			h.checkImport(p, spec, false)
		}
	}
	for _, f := range p.tests {
		for _, spec := range f.Imports {
			h.checkImport(p, spec, true)
		}
	}
}

func (h *house) checkImport(p *pkg, spec *ast.ImportSpec, test bool) {
	target, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		h.report(ruleDirection, spec, "import path %s is not a string", spec.Path.Value)
		return
	}
	h.checkName(spec, target)
	ours, own := strings.CutPrefix(target+"/", h.Module+"/")
	switch {
	case own:
		h.checkOwn(p, spec, path.Clean("./"+ours), test)
	case isStandard(target):
		h.checkSilent(p, spec, target, test)
	default:
		h.checkLibrary(p, spec, target, test)
	}
}

// isStandard follows the go command: only paths whose first element has a dot come
// from elsewhere.
func isStandard(target string) bool {
	first, _, _ := strings.Cut(target, "/")
	return !strings.Contains(first, ".")
}

func (h *house) checkName(spec *ast.ImportSpec, target string) {
	name := ""
	if spec.Name != nil {
		name = spec.Name.Name
	}
	if want, named := h.Names[target]; named {
		if name != want {
			h.report(ruleAlias, spec, "%q is imported as %s everywhere", target, want)
		}
		return
	}
	if name != "" && (target == h.Module || strings.HasPrefix(target, h.Module+"/")) {
		h.report(ruleAlias, spec, "our own package %q is imported under another name", target)
	}
}

// checkOwn holds one import of ours against the star.
func (h *house) checkOwn(p *pkg, spec *ast.ImportSpec, target string, test bool) {
	if test && (target == p.dir || withinAny(h.FreeTests, p.dir) || withinAny(h.TestAids, target) || h.isFamily(p.dir, target)) {
		return
	}
	if !test && withinAny(h.TestAids, target) && !within("build/...", p.dir) {
		h.report(ruleDirection, spec, "%s is for tests; %s is not one", target, p.dir)
		return
	}
	if allowed, known := h.room(p.dir); known && !withinAny(allowed, target) {
		h.report(ruleDirection, spec, "%s must not import %s: let edge/agent hand it over behind an interface", p.dir, target)
	}
}

// isFamily says whether two folders are one room and a part of it.
func (h *house) isFamily(a, b string) bool {
	ofA, _ := h.room(a)
	ofB, _ := h.room(b)
	isRoom := func(dir string) bool { return dir != "edge" && !strings.HasPrefix(dir, "edge/") }
	return isRoom(a) && isRoom(b) && (withinAny(ofA, b) || withinAny(ofB, a))
}

// checkLibrary holds a third-party import against the homes.
func (h *house) checkLibrary(p *pkg, spec *ast.ImportSpec, target string, test bool) {
	home, known := h.home(target)
	switch {
	case !known:
		h.report(ruleLibrary, spec, "library %q has no home: weigh it (make size), then give it one in build/house/plan.go", target)
	case test && home.Tests, withinAny(home.Folders, p.dir):
	case len(home.Folders) == 0:
		h.report(ruleLibrary, spec, "library %q is for tests only", target)
	default:
		h.report(ruleLibrary, spec, "library %q lives in %s, not in %s", target, strings.Join(home.Folders, ", "), p.dir)
	}
}

// home finds the longest entry that covers target: a path and all below it, or with
// a slash at its end everything of one owner.
func (h *house) home(target string) (Home, bool) {
	best := ""
	for prefix := range h.Homes {
		below := strings.TrimSuffix(prefix, "/") + "/"
		if strings.HasPrefix(target+"/", below) && len(prefix) > len(best) {
			best = prefix
		}
	}
	home, found := h.Homes[best]
	return home, found
}

// worldlyStd are the standard packages that reach out of the process.
var worldlyStd = map[string]bool{
	"os": true, "net": true, "syscall": true, "log": true, "plugin": true, "database": true, "unsafe": true,
	"embed": true, "io/ioutil": true, "io/fs": true, "runtime": true, "path/filepath": true,
}

// pureStd are the exceptions below them: values and text only.
var pureStd = map[string]bool{"net/url": true, "net/netip": true}

// checkSilent keeps the world out of what must stay pure.
func (h *house) checkSilent(p *pkg, spec *ast.ImportSpec, target string, test bool) {
	if test || !withinAny(h.Silent, p.dir) || pureStd[target] {
		return
	}
	first, _, _ := strings.Cut(target, "/")
	if worldlyStd[first] || worldlyStd[target] {
		h.report(ruleSilent, spec, "%s touches nothing of the world, and %q does", p.dir, target)
	}
}
