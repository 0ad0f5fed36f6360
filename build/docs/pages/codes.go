package pages

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	warningName = regexp.MustCompile(`^(warn|code|Warning)[A-Z]`)
	kebab       = regexp.MustCompile(`^[a-z]+(-[a-z]+)+$`)
	capital     = regexp.MustCompile(`([a-z])([A-Z])`)
	documented  = regexp.MustCompile("`([a-z]+(?:-[a-z]+)*)`")
)

// Warnings are the codes of warnings that the source below root can raise: constants that are
// called warn…, code… or Warning…, and what a link makes of the causes a person has to see to.
func Warnings(root string) ([]string, error) {
	codes := map[string]bool{}
	err := eachFile(root, func(file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				for name, value := range constants(n) {
					if warningName.MatchString(name) && kebab.MatchString(value) {
						codes[value] = true
					}
				}
			case *ast.CompositeLit:
				for _, cause := range causes(n) {
					codes["link-"+cause] = true
				}
			}
			return true
		})
	}, "edge", "mqtt", "runtime", "policycache", "scheduler")
	return slices.Sorted(maps.Keys(codes)), err
}

// Events are the kinds of events.
func Events(root string) ([]string, error) {
	kinds := map[string]bool{}
	err := eachFile(root, func(file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, is := n.(*ast.ValueSpec)
			if !is {
				return true
			}
			if kind, named := spec.Type.(*ast.Ident); named && kind.Name == "EventKind" {
				for _, value := range constants(spec) {
					kinds[value] = true
				}
			}
			return true
		})
	}, "edge")
	return slices.Sorted(maps.Keys(kinds)), err
}

// Findings are the codes of what the doctor finds: what the functions that make findings are
// given first, what stands as Code or code, and what questions are called.
func Findings(root string) ([]string, error) {
	codes := map[string]bool{}
	err := eachFile(root, func(file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			for _, code := range findingsAt(n) {
				codes[code] = true
			}
			return true
		})
	}, "edge/host", "edge/agent/examine*.go")
	return slices.Sorted(maps.Keys(codes)), err
}

// findingsAt are the codes that stand at one place.
func findingsAt(n ast.Node) (codes []string) {
	var of ast.Expr
	switch n := n.(type) {
	case *ast.CallExpr:
		if name, is := n.Fun.(*ast.Ident); is && (name.Name == "finding" || name.Name == "found") && len(n.Args) > 2 {
			of = n.Args[0]
		}
	case *ast.KeyValueExpr:
		if key, is := n.Key.(*ast.Ident); is && key.Name == "Code" {
			of = n.Value
		}
	case *ast.ValueSpec:
		if code, is := constants(n)["code"]; is {
			codes = append(codes, code)
		}
	}
	if code, is := text(of); is && code != "" {
		codes = append(codes, code)
	}
	return codes
}

// Documented are the codes in the first column of a page's tables.
func Documented(page string) map[string]bool {
	codes := map[string]bool{}
	for line := range strings.Lines(page) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 || strings.TrimSpace(cells[0]) != "" {
			continue
		}
		for _, match := range documented.FindAllStringSubmatch(cells[1], -1) {
			codes[match[1]] = true
		}
	}
	return codes
}

// constants are the names of a declaration whose values are text.
func constants(spec *ast.ValueSpec) map[string]string {
	found := map[string]string{}
	for i, name := range spec.Names {
		if i < len(spec.Values) {
			if value, is := text(spec.Values[i]); is {
				found[name.Name] = value
			}
		}
	}
	return found
}

// causes are the elements of a list of mqtt.Cause, as codes are written.
func causes(list *ast.CompositeLit) (found []string) {
	of, is := list.Type.(*ast.ArrayType)
	if !is {
		return nil
	}
	if kind, is := of.Elt.(*ast.SelectorExpr); !is || kind.Sel.Name != "Cause" {
		return nil
	}
	for _, element := range list.Elts {
		if one, is := element.(*ast.SelectorExpr); is {
			found = append(found, strings.ToLower(capital.ReplaceAllString(one.Sel.Name, "$1-$2")))
		}
	}
	return found
}

func text(e ast.Expr) (string, bool) {
	literal, is := e.(*ast.BasicLit)
	if !is || literal.Kind != token.STRING {
		return "", false
	}
	value, err := strconv.Unquote(literal.Value)
	return value, err == nil
}

// eachFile hands every source file that is no test below the folders, or that a pattern names, to look.
func eachFile(root string, look func(*ast.File), within ...string) error {
	for _, from := range within {
		tops, err := filepath.Glob(filepath.Join(root, from))
		if err != nil {
			return fmt.Errorf("cannot find source %q: %w", from, err)
		}
		for _, top := range tops {
			err := filepath.WalkDir(top, func(path string, _ fs.DirEntry, err error) error {
				if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
					return err
				}
				file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
				if err != nil {
					return fmt.Errorf("cannot read source: %w", err)
				}
				look(file)
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
