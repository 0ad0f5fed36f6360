package main

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// measurement is one look at the binary.
type measurement struct {
	bytes   int64    // of the stripped binary, as a gateway gets it
	modules []string // "path version", sorted
	weights []weight // heaviest first
	shared  int64    // what no module can be blamed for: types, strings, headers
	reflect []string // functions that switch method elimination off
}

// weight is what one module puts into the binary.
type weight struct {
	module string
	code   int64 // machine code, and its share of the tables that describe functions
	data   int64
}

func (w weight) total() int64 { return w.code + w.data }

// measure builds the package twice for linux/amd64: as it is shipped, and with
// symbols, while the linker says what it keeps and why.
func measure(pkg, tags string) (measurement, error) {
	dir, err := os.MkdirTemp("", "holdfast-size-")
	if err != nil {
		return measurement{}, fmt.Errorf("cannot make folder: %w", err)
	}
	defer os.RemoveAll(dir)
	stripped, full := filepath.Join(dir, "stripped"), filepath.Join(dir, "full")
	if _, err := build(pkg, tags, "-s -w -buildid=", stripped); err != nil {
		return measurement{}, err
	}
	kept, err := build(pkg, tags, "-buildid= -dumpdep", full)
	if err != nil {
		return measurement{}, err
	}
	stat, err := os.Stat(stripped)
	if err != nil {
		return measurement{}, fmt.Errorf("cannot measure binary: %w", err)
	}
	m := measurement{bytes: stat.Size(), reflect: reflectMethods(kept)}
	own, paths, err := m.readModules(stripped)
	if err != nil {
		return measurement{}, err
	}
	if err := m.weigh(full, own, paths); err != nil {
		return measurement{}, err
	}
	return m, nil
}

// build runs go build the way a release does and returns what the linker printed.
func build(pkg, tags, ldflags, out string) ([]byte, error) {
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", tags, "-ldflags", ldflags, "-o", out, ".")
	cmd.Dir = pkg
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1")
	printed, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("cannot build %q: %w\n%s", pkg, err, printed)
	}
	return printed, nil
}

// readModules takes the linked modules from what Go wrote into the binary.
func (m *measurement) readModules(file string) (own string, paths []string, err error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return "", nil, fmt.Errorf("cannot read build info: %w", err)
	}
	for _, dep := range info.Deps {
		version := dep.Version
		if dep.Replace != nil {
			version = "=> " + dep.Replace.Path + " " + dep.Replace.Version
		}
		m.modules = append(m.modules, dep.Path+" "+version)
		paths = append(paths, dep.Path)
	}
	slices.Sort(m.modules)
	return info.Main.Path, append(paths, info.Main.Path), nil
}

// weigh adds up symbols by module. The tables that describe functions (gopclntab)
// carry no symbols of their own; each module bears them in proportion to its code.
func (m *measurement) weigh(file, own string, paths []string) error {
	binary, err := elf.Open(file)
	if err != nil {
		return fmt.Errorf("cannot read symbols: %w", err)
	}
	defer binary.Close()
	symbols, err := binary.Symbols()
	if err != nil {
		return fmt.Errorf("cannot read symbols: %w", err)
	}
	weights := map[string]*weight{}
	var code int64
	for _, symbol := range symbols {
		section := sectionOf(binary, symbol)
		module := moduleOf(packageOf(symbol.Name), own, paths)
		if section == nil || section.Type == elf.SHT_NOBITS || module == "" {
			continue // zeroed memory takes no room in the file
		}
		w := weights[module]
		if w == nil {
			w = &weight{module: module}
			weights[module] = w
		}
		if section.Flags&elf.SHF_EXECINSTR != 0 {
			w.code += int64(symbol.Size)
			code += int64(symbol.Size)
		} else {
			w.data += int64(symbol.Size)
		}
	}
	m.settle(weights, code, sizeOf(binary, ".gopclntab"))
	return nil
}

// settle shares the function tables out and orders the result.
func (m *measurement) settle(weights map[string]*weight, code, tables int64) {
	m.shared = m.bytes
	for _, w := range weights {
		w.code += w.code * tables / max(code, 1)
		m.shared -= w.total()
		m.weights = append(m.weights, *w)
	}
	slices.SortFunc(m.weights, func(a, b weight) int {
		if a.total() != b.total() {
			return int(b.total() - a.total())
		}
		return strings.Compare(a.module, b.module)
	})
}

func sectionOf(binary *elf.File, symbol elf.Symbol) *elf.Section {
	if int(symbol.Section) <= 0 || int(symbol.Section) >= len(binary.Sections) {
		return nil
	}
	return binary.Sections[symbol.Section]
}

func sizeOf(binary *elf.File, section string) int64 {
	if s := binary.Section(section); s != nil {
		return int64(s.Size)
	}
	return 0
}

// packageOf reads the import path off a symbol such as
// "github.com/a/b.(*T).M" or "sync/atomic.(*Pointer[go.shape.struct {}]).Load"; it
// returns nothing for what the compiler made for everybody.
func packageOf(symbol string) string {
	if strings.HasPrefix(symbol, "go:") || strings.HasPrefix(symbol, "type:") {
		return ""
	}
	if at := strings.IndexAny(symbol, "[({ "); at >= 0 {
		symbol = symbol[:at]
	}
	slash := strings.LastIndex(symbol, "/")
	name, _, found := strings.Cut(symbol[slash+1:], ".")
	if !found {
		return ""
	}
	return strings.ReplaceAll(symbol[:slash+1]+name, "%2e", ".")
}

// moduleOf finds the module a package belongs to: the longest path that begins it.
func moduleOf(pkg, own string, paths []string) string {
	if pkg == "" {
		return ""
	}
	if pkg == "main" {
		return own
	}
	best := ""
	for _, path := range paths {
		if strings.HasPrefix(pkg+"/", path+"/") && len(path) > len(best) {
			best = path
		}
	}
	if best == "" {
		return "std"
	}
	return best
}

// reflectMethods picks from the linker's account the functions that look methods up
// by name at run time. One of them is enough to make it keep every exported method
// of every reachable type.
func reflectMethods(kept []byte) []string {
	var found []string
	for line := range bytes.Lines(kept) {
		from, _, _ := bytes.Cut(line, []byte(" -> "))
		if name, marked := bytes.CutSuffix(from, []byte(" <ReflectMethod>")); marked {
			found = append(found, string(name))
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
