package house

import (
	"go/ast"
	"slices"
	"strings"
)

// checkHabits finds packages that do not say what they own, pure ones that reach for
// the clock or start goroutines, and files grown long.
func (h *house) checkHabits(p *pkg) {
	h.checkDoc(p)
	if withinAny(h.Still, p.dir) {
		for _, f := range p.code {
			ast.Inspect(f.File, h.checkStill)
		}
	}
	for _, f := range p.code {
		h.checkLength(f, h.CodeLines)
	}
	for _, f := range p.tests {
		h.checkLength(f, h.TestLines)
	}
}

// docWords is the fewest words a package comment may have: with less it repeats the
// name and says nothing.
const docWords = 5

func (h *house) checkDoc(p *pkg) {
	if len(p.code) == 0 {
		return
	}
	for _, f := range p.code {
		if f.Doc != nil && len(strings.Fields(f.Doc.Text())) >= docWords {
			return
		}
	}
	h.report(ruleDoc, p.code[0].Name, "package %s does not say what it owns: write a package comment", p.dir)
}

// clock are the functions of package time that read or wait for real time.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

func (h *house) checkStill(node ast.Node) bool {
	switch node := node.(type) {
	case *ast.GoStmt:
		h.report(ruleSilent, node, "a pure package starts no goroutines")
	case *ast.SelectorExpr:
		if isNamed(node.X, "time") && slices.Contains(clock, node.Sel.Name) {
			h.report(ruleSilent, node, "a pure package has no clock of its own: take the instant as a parameter")
		}
	}
	return true
}

func (h *house) checkLength(f *file, limit int) {
	if f.lines <= limit {
		return
	}
	h.report(ruleLength, f.Name, "%d lines, more than %d: is this one matter?", f.lines, limit)
	h.findings[len(h.findings)-1].Soft = true
}

// checkTests finds tests that wait for real time or excuse themselves.
func (h *house) checkTests(p *pkg) {
	for _, f := range p.tests {
		virtual := slices.ContainsFunc(f.Imports, func(spec *ast.ImportSpec) bool {
			return spec.Path.Value == `"testing/synctest"`
		})
		ast.Inspect(f.File, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if !virtual && isNamed(sel.X, "time") && sel.Sel.Name == "Sleep" {
				h.report(ruleSleep, call, "a test that sleeps is slow or flaky: wait for the event, or use testing/synctest")
			}
			if slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) && (isNamed(sel.X, "t") || isNamed(sel.X, "tb") || isNamed(sel.X, "b")) {
				h.report(ruleSkip, call, "a skipped test proves nothing: fail and say the remedy")
			}
			return true
		})
	}
}

func isNamed(expr ast.Expr, name string) bool {
	ident, ok := expr.(*ast.Ident)
	return ok && ident.Name == name
}
