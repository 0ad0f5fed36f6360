// Package monitoring_test holds the alert rules and the dashboard that ship with holdfast against
// what the agent shows: every figure they name is there with the labels they name, every alert
// fires when it should and is silent when it should be, and what alerts link to exists.
//
// # Testing
//
// promtool of Prometheus judges the rules (build/provision installs it). Each check has a control
// that it finds what it looks for.
package monitoring_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/build/docs/pages"
	"holdfast/edge"
	"holdfast/edge/metrics"
)

const (
	rulesFile     = "holdfast.rules.yaml"
	dashboardFile = "holdfast.json"
)

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// fill gives every field something of its own, so that the agent has something of everything to show.
func fill(v reflect.Value, depth int, texts *int) {
	if depth == 0 || !v.CanSet() {
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString(fmt.Sprintf("x%d", *texts))
		*texts++
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Int, reflect.Int8, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth-1, texts)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth-1, texts)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, depth-1, texts)
		fill(value, depth-1, texts)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		if when, is := v.Addr().Interface().(*time.Time); is {
			*when = time.Unix(1e9, 0)
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), depth-1, texts)
		}
	}
}

var sample = regexp.MustCompile(`(?m)^([a-z_]+)(?:\{(.*)\})? `)
var labelName = regexp.MustCompile(`([a-zA-Z_]+)="`)

// shown are the figures of an agent that has something of everything, each with its labels.
func shown(t testing.TB) map[string][]string {
	t.Helper()
	var status edge.Status
	fill(reflect.ValueOf(&status).Elem(), 9, new(int))
	m, err := metrics.New(func() edge.Status { return status })
	if err != nil {
		t.Fatal(err)
	}
	m.Settled(edge.Settlement{Task: edge.Task{Model: "x", Deadline: time.Unix(1, 0)}, Outcome: edge.Completed, At: time.Unix(1, 0)})
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if answer.Code != http.StatusOK {
		t.Fatalf("status %d: %s", answer.Code, answer.Body)
	}
	families := map[string][]string{"up": nil} // Prometheus itself says whether a target answers
	for _, line := range sample.FindAllStringSubmatch(answer.Body.String(), -1) {
		labels := families[line[1]]
		for _, label := range labelName.FindAllStringSubmatch(line[2], -1) {
			if !slices.Contains(labels, label[1]) {
				labels = append(labels, label[1])
			}
		}
		families[line[1]] = labels
	}
	return families
}

var (
	selector = regexp.MustCompile(`\b(holdfast_[a-z_]+|process_[a-z_]+|up)\b(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-zA-Z_]+)\s*(?:=~|!~|!=|=)\s*"`)
	byLabels = regexp.MustCompile(`\bby \(([^)]*)\)`)
)

// scraped are labels that Prometheus gives every figure.
var scraped = []string{"instance", "job"}

// unknown are the figures and labels of an expression that the agent does not show.
func unknown(expr string, families map[string][]string) (wrong []string) {
	var all []string
	for _, use := range selector.FindAllStringSubmatch(expr, -1) {
		labels, there := families[use[1]]
		if !there {
			wrong = append(wrong, use[1])
			continue
		}
		all = append(all, labels...)
		for _, label := range matcher.FindAllStringSubmatch(use[2], -1) {
			if !slices.Contains(labels, label[1]) && !slices.Contains(scraped, label[1]) {
				wrong = append(wrong, use[1]+"{"+label[1]+"}")
			}
		}
	}
	for _, by := range byLabels.FindAllStringSubmatch(expr, -1) {
		for _, label := range strings.Split(by[1], ",") {
			if label = strings.TrimSpace(label); len(all) > 0 && !slices.Contains(all, label) && !slices.Contains(scraped, label) {
				wrong = append(wrong, "by "+label)
			}
		}
	}
	return wrong
}

func TestUnknown(t *testing.T) {
	families := shown(t)
	for _, expr := range []string{
		`holdfast_link_upp == 0`, `holdfast_link_up{lnk="fleet"}`, `sum by (instance, tenant) (holdfast_task_queue_depth)`, `process_threads`,
	} {
		if unknown(expr, families) == nil {
			t.Errorf("nothing is found wrong with %s", expr)
		}
	}
	if wrong := unknown(`sum by (le, class) (rate(holdfast_task_slack_seconds_bucket{instance=~"$instance"}[5m])) and up{job="holdfast"}`, families); wrong != nil {
		t.Errorf("%v are found wrong with what is right", wrong)
	}
}

func TestRules_NameWhatIsShown(t *testing.T) {
	families := shown(t)
	rules := read(t, rulesFile)
	if wrong := unknown(rules, families); wrong != nil {
		t.Errorf("the rules ask for what the agent does not show: %v", wrong)
	}
	raised, err := pages.Warnings("../..")
	if err != nil {
		t.Fatal(err)
	}
	codes := regexp.MustCompile(`holdfast_warnings\{code=~?"([^"]*)"`).FindAllStringSubmatch(rules, -1)
	for _, list := range codes {
		for _, code := range strings.Split(list[1], "|") {
			if !slices.Contains(raised, code) {
				t.Errorf("an alert waits for the warning %s, which nobody raises", code)
			}
		}
	}
	if len(codes) == 0 || slices.Contains(raised, "no-such-warning") {
		t.Errorf("%d lists of codes and %d warnings are found", len(codes), len(raised))
	}
}

// TestMetricsPage_NamesAll holds the page of figures against what is shown, both ways.
func TestMetricsPage_NamesAll(t *testing.T) {
	page := read(t, "../../docs/metrics.md")
	families := shown(t)
	for name := range families {
		name = strings.TrimPrefix(name, "holdfast_")
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			name = strings.TrimSuffix(name, part)
		}
		if name != "up" && !strings.Contains(page, "`"+name+"`") && !strings.Contains(page, "`"+name+"{") {
			t.Errorf("docs/metrics.md does not speak of %s", name)
		}
	}
	if strings.Contains(page, "`no_such_figure`") {
		t.Error("docs/metrics.md speaks of everything")
	}
}

// alerts are what each alert is and says, as the file has it.
func alerts(t testing.TB) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, alert := range strings.Split(read(t, rulesFile), "- alert: ")[1:] {
		name, body, _ := strings.Cut(alert, "\n")
		found[name] = body
	}
	return found
}

func TestRules_SayWhatToDo(t *testing.T) {
	for name, body := range alerts(t) {
		for _, key := range []string{"summary: \"", "description: \"", "remedy: \"", "docs: docs/", "severity: "} {
			if !strings.Contains(body, key) {
				t.Errorf("%s has no %s", name, key)
			}
		}
		_, docs, _ := strings.Cut(body, "docs: ")
		docs, _, _ = strings.Cut(docs, "\n")
		page, anchor, _ := strings.Cut(docs, "#")
		if !pages.Anchors(read(t, "../../"+page))[anchor] {
			t.Errorf("%s leads to %s, which is not there", name, docs)
		}
	}
}

// panel is what of a panel matters here.
type panel struct {
	ID         int                      `json:"id"`
	Type       string                   `json:"type"`
	Title      string                   `json:"title"`
	Datasource json.RawMessage          `json:"datasource"`
	Grid       struct{ H, W, X, Y int } `json:"gridPos"`
	Targets    []struct {
		Expr       string          `json:"expr"`
		Datasource json.RawMessage `json:"datasource"`
		Instant    bool            `json:"instant"`
		Range      bool            `json:"range"`
	} `json:"targets"`
}

// nothing is a division by a rate that was not bounded.
var nothing = regexp.MustCompile(`/ (?:sum by \([^)]*\) \()?rate\(`)

// faults are what is wrong with a dashboard.
func faults(text string, families map[string][]string) (wrong []string) {
	var board struct {
		Title      string
		Panels     []panel
		Templating struct {
			List []struct{ Name, Type, Query string }
		}
		Annotations struct {
			List []struct {
				Datasource json.RawMessage
				Expr       string
			}
		}
	}
	lenient := strings.ReplaceAll(text, `"query": {`, `"question": {`) // of a variable it is text or an object
	if err := json.Unmarshal([]byte(lenient), &board); err != nil {
		return []string{err.Error()}
	}
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if len(board.Templating.List) == 0 || board.Templating.List[0].Name != "datasource" || board.Templating.List[0].Query != "prometheus" {
		say("there is no variable for the source of data")
	}
	ids, spots := map[int]bool{}, map[[2]int]string{}
	for _, p := range board.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" {
			say("panel %d %q has no number or title of its own", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.Grid.X; x < p.Grid.X+p.Grid.W; x++ {
			for y := p.Grid.Y; y < p.Grid.Y+p.Grid.H; y++ {
				if other := spots[[2]int{x, y}]; other != "" || x > 23 {
					say("panel %q lies on %q or outside", p.Title, other)
				}
				spots[[2]int{x, y}] = p.Title
			}
		}
		if p.Type != "row" && (len(p.Targets) == 0 || !strings.Contains(string(p.Datasource), "${datasource}")) {
			say("panel %q asks nothing, or a source of its own", p.Title)
		}
		for _, target := range p.Targets {
			if !strings.Contains(string(target.Datasource), "${datasource}") {
				say("panel %q asks a source of its own", p.Title)
			}
			for _, name := range unknown(target.Expr, families) {
				say("panel %q asks for %s", p.Title, name)
			}
			// Of a range Grafana shows the last there was: a state of an hour ago, a node that is gone.
			if is := p.Type == "stat"; target.Instant != is || target.Range == is {
				say("panel %q is a %s, and asks for what was at the wrong times", p.Title, p.Type)
			}
			if nothing.MatchString(target.Expr) {
				say("panel %q divides by what may be nothing, which is shown as NaN", p.Title)
			}
		}
	}
	for _, a := range board.Annotations.List {
		if !strings.Contains(string(a.Datasource), "${datasource}") || unknown(a.Expr, families) != nil {
			say("an annotation asks %s", a.Expr)
		}
	}
	return wrong
}

func TestDashboard(t *testing.T) {
	families := shown(t)
	board := read(t, dashboardFile)
	for _, wrong := range faults(board, families) {
		t.Error(wrong)
	}
	for what, spoilt := range map[string]string{
		"NoJSON":       board[:len(board)/2],
		"SameNumber":   strings.Replace(board, `"id": 3,`, `"id": 2,`, 1),
		"OtherFigure":  strings.Replace(board, "holdfast_health_score", "holdfast_health_points", 1),
		"OwnSource":    strings.Replace(board, "${datasource}", "PBFA97CFB590B2093", 2),
		"OnAnother":    strings.Replace(board, `"x": 6,`, `"x": 5,`, 1),
		"Stale":        strings.Replace(board, `"instant": true`, `"instant": false`, 1),
		"NotANumber":   strings.Replace(board, "/ (sum by (class)", "/ sum by (class)", 1),
		"NoDatasource": strings.Replace(board, `"query": "prometheus"`, `"query": "loki"`, 1),
	} {
		t.Run(what, func(t *testing.T) {
			if spoilt == board || faults(spoilt, families) == nil {
				t.Error("nothing is found wrong with a dashboard that was spoilt")
			}
		})
	}
}

// TestDashboard_ShowsAllFigures: what the agent shows is of use to somebody.
func TestDashboard_ShowsAllFigures(t *testing.T) {
	all := read(t, dashboardFile) + read(t, rulesFile)
	// What is better asked by hand than watched.
	byHand := []string{"holdfast_node_cores", "holdfast_model_lanes", "holdfast_tasks_away", "holdfast_upstream_attempts", "holdfast_policy_age_seconds", "holdfast_link_messages_total", "holdfast_inbox_retries_total"}
	for name := range shown(t) {
		for _, part := range []string{"_sum", "_count"} {
			name = strings.TrimSuffix(name, part)
		}
		if !strings.Contains(all, name) && !slices.Contains(byHand, name) {
			t.Errorf("%s is in no panel and no rule", name)
		}
	}
}
