package house

import (
	"errors"
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// checkState finds what a package keeps for itself between calls: init functions and
// package-level variables that are neither errors nor tables. What looks like a table
// and is written to somewhere is state all the same.
func (h *house) checkState(p *pkg) {
	variables := map[string]*ast.Ident{}
	for _, f := range p.code {
		for _, decl := range f.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if decl.Recv == nil && decl.Name.Name == "init" {
					h.report(ruleInit, decl, "init runs behind everybody's back: let the caller build what it needs")
				}
			case *ast.GenDecl:
				h.checkVariables(p, decl, variables)
			}
		}
	}
	h.checkWrites(p, variables)
}

// checkVariables judges declared variables by how they begin, and collects the ones
// that may stay.
func (h *house) checkVariables(p *pkg, decl *ast.GenDecl, variables map[string]*ast.Ident) {
	if decl.Tok != token.VAR {
		return
	}
	for _, spec := range decl.Specs {
		spec, ok := spec.(*ast.ValueSpec)
		if !ok {
			continue
		}
		for i, name := range spec.Names {
			if name.Name == "_" || h.Variables[p.dir+"/"+name.Name] != "" {
				continue
			}
			if isEmbedded(decl, spec) || i < len(spec.Values) && isTable(spec.Values[i]) {
				variables[name.Name] = name
				continue
			}
			h.report(ruleState, name, "package variable %s is neither an error nor a table: make it a constant, a field or a parameter", name.Name)
		}
	}
}

// isEmbedded recognises a file put into the binary.
func isEmbedded(decl *ast.GenDecl, spec *ast.ValueSpec) bool {
	for _, group := range []*ast.CommentGroup{decl.Doc, spec.Doc} {
		if group == nil {
			continue
		}
		for _, comment := range group.List {
			if strings.HasPrefix(comment.Text, "//go:embed ") {
				return true
			}
		}
	}
	return false
}

// makers are the functions whose results stay as they were made.
var makers = map[string]bool{
	"errors.New": true, "fmt.Errorf": true, "regexp.MustCompile": true, "strings.NewReplacer": true,
	"time.Date": true, "time.Unix": true, "netip.MustParsePrefix": true, "netip.MustParseAddr": true, "json.RawMessage": true,
	"crc32.MakeTable": true, "crc64.MakeTable": true,
}

// isTable recognises a value that is read and never changed: a literal of a struct,
// array, slice or map, bytes of a string, or what one of the makers made. A literal
// lock or atomic is no table: it is there to change.
func isTable(value ast.Expr) bool {
	switch value := value.(type) {
	case *ast.CompositeLit:
		from := qualifier(value.Type)
		return from != "sync" && from != "atomic"
	case *ast.CallExpr:
		if _, bytes := value.Fun.(*ast.ArrayType); bytes {
			return true
		}
		sel, ok := value.Fun.(*ast.SelectorExpr)
		return ok && makers[qualifier(sel)+"."+sel.Sel.Name]
	}
	return false
}

// qualifier returns the package a name was qualified with, or nothing.
func qualifier(expr ast.Expr) string {
	if sel, ok := expr.(*ast.SelectorExpr); ok {
		if from, ok := sel.X.(*ast.Ident); ok {
			return from.Name
		}
	}
	return ""
}

// checkWrites finds assignments to the variables that passed as errors and tables.
// Only names inside the package are resolved, so nothing it imports need be there.
func (h *house) checkWrites(p *pkg, variables map[string]*ast.Ident) {
	if len(variables) == 0 {
		return
	}
	files := make([]*ast.File, 0, len(p.code))
	for _, f := range p.code {
		files = append(files, f.File)
	}
	info := types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: noImporter{}, Error: func(error) {}}
	checked, _ := config.Check(p.dir, h.fset, files, &info) // its errors are imports we did not load
	visit := func(node ast.Node) bool {
		for _, target := range written(node) {
			name := rootOf(target)
			if name == nil {
				continue
			}
			if object := info.Uses[name]; object != nil && object.Parent() == checked.Scope() && variables[object.Name()] != nil {
				h.report(ruleState, name, "package variable %s is written to here: what changes belongs in a value somebody owns", object.Name())
			}
		}
		return true
	}
	for _, f := range files {
		ast.Inspect(f, visit)
	}
}

// noImporter leaves every import unresolved.
type noImporter struct{}

func (noImporter) Import(string) (*types.Package, error) { return nil, errors.New("not loaded") }

// written returns the expressions a statement changes.
func written(node ast.Node) []ast.Expr {
	switch node := node.(type) {
	case *ast.AssignStmt:
		if node.Tok != token.DEFINE {
			return node.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{node.X}
	case *ast.UnaryExpr:
		if _, literal := node.X.(*ast.CompositeLit); node.Op == token.AND && !literal {
			return []ast.Expr{node.X}
		}
	case *ast.CallExpr:
		if name, ok := node.Fun.(*ast.Ident); ok && (name.Name == "delete" || name.Name == "clear") && len(node.Args) > 0 {
			return node.Args[:1]
		}
	}
	return nil
}

// rootOf finds the name an assignable expression begins with: x in x.f[i].
func rootOf(expr ast.Expr) *ast.Ident {
	switch expr := expr.(type) {
	case *ast.Ident:
		return expr
	case *ast.SelectorExpr:
		return rootOf(expr.X)
	case *ast.IndexExpr:
		return rootOf(expr.X)
	case *ast.ParenExpr:
		return rootOf(expr.X)
	case *ast.StarExpr:
		return rootOf(expr.X)
	}
	return nil
}
