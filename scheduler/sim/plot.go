package sim

import (
	"fmt"
	"html"
	"io"
	"strings"
)

// Plot writes an SVG of tasks on time, of those submitted, against load: one panel for each kind of
// arrivals, one line for each policy, and the bound dashed.
func Plot(to io.Writer, cells []Cell) error {
	var kinds []string
	panels := map[string][]Cell{}
	for _, c := range cells {
		if panels[c.Arrivals] == nil {
			kinds = append(kinds, c.Arrivals)
		}
		panels[c.Arrivals] = append(panels[c.Arrivals], c)
	}
	var b strings.Builder
	width := len(kinds)*panelWidth + legendWidth
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, plotHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, plotHeight)
	for i, kind := range kinds {
		newPanel(float64(i*panelWidth), panels[kind]).draw(&b, kind)
	}
	if len(cells) > 0 {
		legend(&b, float64(len(kinds)*panelWidth), cells[0].Outcomes)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(to, b.String())
	return err
}

const (
	panelWidth, plotHeight, legendWidth = 300, 300, 130
	left, top, right, bottom            = 45, 30, 15, 40 // margins of a panel
)

// colours are told apart by most eyes, on white and in grey (after Okabe and Ito).
var colours = [...]string{"#999999", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#CC79A7", "#D55E00", "#000000"}

// colour of the policy at this place; the last, which is the scheduler itself, is vermilion.
func colour(i, of int) string {
	if i == of-1 {
		return "#D55E00"
	}
	return colours[i%7]
}

// panel maps loads and parts to the plane.
type panel struct {
	x     float64
	cells []Cell
	from  float64
	span  float64
}

func newPanel(x float64, cells []Cell) panel {
	p := panel{x: x, cells: cells, from: cells[0].Load}
	to := p.from
	for _, c := range cells {
		p.from, to = min(p.from, c.Load), max(to, c.Load)
	}
	if p.span = to - p.from; p.span == 0 {
		p.from, p.span = p.from-0.5, 1 // a single load stands in the middle
	}
	return p
}

func (p panel) at(load, part float64) (x, y float64) {
	return p.x + left + (load-p.from)/p.span*(panelWidth-left-right), plotHeight - bottom - part*(plotHeight-top-bottom)
}

func (p panel) draw(b *strings.Builder, title string) {
	fmt.Fprintf(b, `<text x="%.1f" y="18" font-weight="bold">%s, %d cores</text>`+"\n", p.x+left, html.EscapeString(title), p.cells[0].Cores)
	for _, part := range []float64{0, 0.25, 0.5, 0.75, 1} {
		x, y := p.at(p.from, part)
		fmt.Fprintf(b, `<path d="M%.1f %.1fh%d" stroke="#ddd"/><text x="%.1f" y="%.1f" text-anchor="end">%.2f</text>`+"\n",
			x, y, panelWidth-left-right, x-5, y+4, part)
	}
	for _, c := range p.cells {
		x, y := p.at(c.Load, 0)
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">%g</text>`+"\n", x, y+16, c.Load)
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">load</text>`+"\n", p.x+(left+panelWidth-right)/2, plotHeight-8)
	p.line(b, "#000000", ` stroke-dasharray="4 3"`, func(c Cell) float64 { return ratio(c.Bound, float64(c.Tasks)) })
	policies := len(p.cells[0].Outcomes)
	for i := range policies {
		p.line(b, colour(i, policies), "", func(c Cell) float64 { return c.Outcomes[i].OnTime })
	}
}

func (p panel) line(b *strings.Builder, stroke, style string, part func(Cell) float64) {
	var points []string
	for _, c := range p.cells {
		x, y := p.at(c.Load, part(c))
		points = append(points, fmt.Sprintf("%.1f,%.1f", x, y))
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"%s/>`+"\n", strings.Join(points, " "), stroke, style)
	for _, point := range points {
		x, y, _ := strings.Cut(point, ",")
		fmt.Fprintf(b, `<circle cx="%s" cy="%s" r="2.5" fill="%s"/>`+"\n", x, y, stroke)
	}
}

func legend(b *strings.Builder, x float64, outcomes []Outcome) {
	row := func(i int, stroke, style, name string) {
		y := top + 10 + 18*i
		fmt.Fprintf(b, `<path d="M%.1f %dh20" stroke="%s" stroke-width="2"%s/><text x="%.1f" y="%d">%s</text>`+"\n",
			x, y, stroke, style, x+26, y+4, html.EscapeString(name))
	}
	row(0, "#000000", ` stroke-dasharray="4 3"`, "bound")
	for i, o := range outcomes {
		row(i+1, colour(i, len(outcomes)), "", o.Policy)
	}
}
