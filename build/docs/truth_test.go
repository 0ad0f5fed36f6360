package main

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"holdfast/build/docs/pages"
	"holdfast/build/house"
	"holdfast/edge"
	"holdfast/edge/cli"
)

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPages_LinksLeadSomewhere(t *testing.T) {
	broken, err := pages.Broken("../..", "docs", "README.md", "CHANGELOG.md", "build/sample/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range broken {
		t.Error(link)
	}
}

// TestIndex_NamesEveryPage: what is not in the index is found by nobody.
func TestIndex_NamesEveryPage(t *testing.T) {
	links := pages.Links(page(t, "README.md"))
	all, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(all) < 20 {
		t.Fatalf("%d pages, %v", len(all), err)
	}
	for _, at := range all {
		if name := filepath.Base(at); name != "README.md" && !slices.Contains(links, name) {
			t.Errorf("docs/README.md does not name %s", name)
		}
	}
	if slices.Contains(links, "no-such-page.md") {
		t.Error("the index names everything")
	}
}

// differ are codes that one of the two lacks.
func differ(program []string, page map[string]bool) (wrong []string) {
	for _, code := range program {
		if !page[code] {
			wrong = append(wrong, "the page lacks "+code)
		}
	}
	for code := range page {
		if !slices.Contains(program, code) {
			wrong = append(wrong, "the program has no "+code)
		}
	}
	return wrong
}

func TestWarnings_AreAllExplained(t *testing.T) {
	codes, err := pages.Warnings("../..")
	if err != nil || len(codes) < 50 {
		t.Fatalf("%d codes, %v", len(codes), err)
	}
	documented := pages.Documented(page(t, "warnings.md"))
	for _, wrong := range differ(codes, documented) {
		t.Error(wrong)
	}
	if got := differ([]string{"crash-loop"}, map[string]bool{"crash-loops": true}); len(got) != 2 {
		t.Errorf("of a code that was misspelt it is found: %q", got)
	}
}

func TestEvents_AreAllExplained(t *testing.T) {
	kinds, err := pages.Events("../..")
	if err != nil || len(kinds) < 40 {
		t.Fatalf("%d kinds, %v", len(kinds), err)
	}
	for _, wrong := range differ(kinds, pages.Documented(page(t, "events.md"))) {
		t.Error(wrong)
	}
}

func TestFindings_AreAllExplained(t *testing.T) {
	codes, err := pages.Findings("../..")
	if err != nil || len(codes) < 20 {
		t.Fatalf("%d codes, %v", len(codes), err)
	}
	documented := pages.Documented(page(t, "doctor.md"))
	for _, code := range codes {
		// The doctor asks containerd itself, so nobody asks whether its socket answers.
		if !documented[code] && code != "containerd-socket" {
			t.Errorf("docs/doctor.md lacks %s", code)
		}
	}
	source := sources(t)
	for code := range documented {
		if !strings.Contains(source, `"`+code+`"`) && !strings.Contains(source, `+"`+code[max(strings.LastIndex(code, "-"), 0):]+`"`) {
			t.Errorf("docs/doctor.md explains %s, which the doctor never says", code)
		}
	}
	if strings.Contains(source, `"no-such-finding"`) {
		t.Error("the source says everything")
	}
}

// sources is all that the doctor is made of.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range []string{"../../edge/host/*.go", "../../edge/agent/examine*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(file, "_test.go") {
				all.Write(text)
			}
		}
	}
	return all.String()
}

// held are the tests that a page relies on, by folder: those of a clause are in the folder it ends with, or where
// the tests from outside are.
func held(claims string) map[string][]string {
	found := map[string][]string{}
	for line := range strings.Lines(claims) {
		line, is := strings.CutPrefix(line, "- *Held by* ")
		if !is {
			continue
		}
		for _, clause := range strings.Split(line, ";") {
			folder := "build/e2e"
			if _, at, elsewhere := strings.Cut(clause, " in `./"); elsewhere {
				folder = strings.TrimRight(at, "`\n")
			}
			found[folder] = append(found[folder], pages.Tests(clause)...)
		}
	}
	return found
}

// lost are the tests of those that are not there.
func lost(t *testing.T, tests map[string][]string) (wrong []string) {
	t.Helper()
	for folder, names := range tests {
		files, err := filepath.Glob(filepath.Join("../..", folder, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(text)
		}
		for _, name := range names {
			if !strings.Contains(all.String(), "\nfunc "+name+"(") {
				wrong = append(wrong, folder+": "+name)
			}
		}
	}
	return wrong
}

// TestClaims_AreHeldByTests: a page that names a test which is gone claims what nobody holds.
func TestClaims_AreHeldByTests(t *testing.T) {
	claims := page(t, "what-happens-when.md")
	for _, name := range lost(t, held(claims)) {
		t.Errorf("what-happens-when.md relies on %s, which is not there", name)
	}
	if got := lost(t, held("- *Held by* `TestJourney`, `TestNoSuch`; `TestLink_Away` in `./mqtt/fleetlink`\n")); len(got) != 2 {
		t.Errorf("of two tests that are not there %q are found", got)
	}
	for _, part := range strings.Split(claims, "\n## ")[1:] {
		title, _, _ := strings.Cut(part, "\n")
		for _, said := range []string{"\n- **Seen:**", "\n- **Do:**", "\n- *Held by* `Test"} {
			if !strings.Contains(part, said) {
				t.Errorf("what-happens-when.md says of %q no %s", title, said)
			}
		}
	}
}

// TestClaims_NameRealCodes: what a person is told to look for can be seen.
func TestClaims_NameRealCodes(t *testing.T) {
	known, err := pages.Warnings("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, read := range []func(string) ([]string, error){pages.Events, pages.Findings} {
		more, err := read("../..")
		if err != nil {
			t.Fatal(err)
		}
		known = append(known, more...)
	}
	known = append(known, "upstream-slow", "upstream-failed") // ways an answer came
	seen := regexp.MustCompile(`(?m)^- \*\*Seen:\*\*(.*)$`)
	code := regexp.MustCompile("`([a-z]+(?:-[a-z]+)+)`")
	var found int
	for _, line := range seen.FindAllStringSubmatch(page(t, "what-happens-when.md"), -1) {
		for _, match := range code.FindAllStringSubmatch(line[1], -1) {
			if found++; !slices.Contains(known, match[1]) {
				t.Errorf("what-happens-when.md tells to look for %s, which the program never says", match[1])
			}
		}
	}
	if found < 30 || slices.Contains(known, "link-lost") {
		t.Errorf("%d codes are found", found)
	}
}

// TestChinese_HasTheSameCommands: both quickstarts do the same.
func TestChinese_HasTheSameCommands(t *testing.T) {
	english, chinese := page(t, "quickstart.md"), page(t, "zh/quickstart.md")
	for _, language := range []string{"sh", "text"} {
		got, want := pages.Blocks(chinese, language), pages.Blocks(english, language)
		if !slices.Equal(got, want) || len(want) == 0 {
			t.Errorf("in %s the quickstarts differ:\n%q\n%q", language, got, want)
		}
	}
	changed := strings.Replace(chinese, "--deadline 80ms", "--deadline 800ms", 1)
	if slices.Equal(pages.Blocks(changed, "sh"), pages.Blocks(english, "sh")) {
		t.Error("a command that was changed is not noticed")
	}
	count := func(text string) int { return strings.Count(text, "\n## ") }
	if count(english) != count(chinese) {
		t.Errorf("%d parts in Chinese, %d in English", count(chinese), count(english))
	}
}

// TestTopics_AreAllNamed holds the page of topics against what a link knows.
func TestTopics_AreAllNamed(t *testing.T) {
	source, err := os.ReadFile("../../mqtt/topic.go")
	if err != nil {
		t.Fatal(err)
	}
	kinds := regexp.MustCompile(`Kind = "((?:up|down)/[a-z]+)"`).FindAllStringSubmatch(string(source), -1)
	topics := page(t, "topics.md")
	for _, kind := range kinds {
		if !strings.Contains(topics, kind[1]+"`") {
			t.Errorf("topics.md does not name %s", kind[1])
		}
	}
	if len(kinds) < 10 || strings.Contains(topics, "up/gossip`") {
		t.Errorf("%d kinds are found", len(kinds))
	}
}

// TestCommands_AreThere holds what pages tell to type against the verbs and flags there are.
func TestCommands_AreThere(t *testing.T) {
	program := cli.Describe()
	all, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range append(all, "../../README.md", "../../docs/zh/quickstart.md", "../../docs/zh/README.md") {
		text, err := os.ReadFile(at)
		if err != nil {
			t.Fatal(err)
		}
		for _, wrong := range pages.Misused(string(text), program) {
			t.Errorf("%s: %s", at, wrong)
		}
	}
	table := page(t, "cli.md")
	for _, verb := range program.Verbs {
		if name := strings.TrimPrefix(verb.Path, "holdfast "); !strings.Contains(table, "`"+name) {
			t.Errorf("docs/cli.md does not name %s", name)
		}
	}
}

// TestHouse_NamesEveryRoom holds the page on the house against its plan.
func TestHouse_NamesEveryRoom(t *testing.T) {
	text := page(t, "house.md")
	rooms := house.Plan().Rooms
	for room := range rooms {
		if strings.HasPrefix(room, "build") || room == "." || strings.HasSuffix(room, "/filetest") {
			continue
		}
		if !strings.Contains(text, room+"/ ") && !strings.Contains(text, room+"/)") {
			t.Errorf("docs/house.md does not name %s", room)
		}
	}
	if len(rooms) < 30 || strings.Contains(text, "edge/attic/ ") {
		t.Errorf("%d rooms are found", len(rooms))
	}
}

// sections are the keys that a policy can have at its top and one below, as it is written.
func sections(of reflect.Type, depth int) (keys []string) {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Map {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || depth == 0 {
		return nil
	}
	for i := range of.NumField() {
		field := of.Field(i)
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && name != "-" {
			keys = append(keys, name)
			if name != "workloads" { // those are written as Compose files, whose keys have a table of their own
				keys = append(keys, sections(field.Type, depth-1)...)
			}
		}
	}
	return keys
}

// TestPolicy_KeysAreAllNamed holds the pages on policies against what a policy can say.
func TestPolicy_KeysAreAllNamed(t *testing.T) {
	var text strings.Builder
	for _, name := range []string{"policy.md", "writing-a-policy.md", "routes.md", "site.md", "metrics.md", "networks.md"} {
		text.WriteString(page(t, name))
	}
	keys := sections(reflect.TypeFor[edge.Policy](), 2)
	for _, key := range keys {
		if !regexp.MustCompile(`[^a-zA-Z]` + key + `[^a-zA-Z]`).MatchString(text.String()) {
			t.Errorf("no page on policies names %s", key)
		}
	}
	if len(keys) < 50 || strings.Contains(text.String(), "noSuchKey") {
		t.Errorf("%d keys are found", len(keys))
	}
}
