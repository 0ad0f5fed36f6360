package compose_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/compose-spec/compose-go/v2/tree"

	"holdfast/edge/compose"
)

// TestHonoured_AreCompose holds the list of honoured keys against the Compose
// schema, and against a key the schema does not have.
func TestHonoured_AreCompose(t *testing.T) {
	known := tree.NewMatcher(schema.AttributePaths()...)
	paths := compose.HonouredPaths()
	if len(paths) < 20 {
		t.Fatalf("got %d honoured keys, want the list", len(paths))
	}
	for _, path := range paths {
		if !known.Matches(tree.Path(path)) {
			t.Errorf("%s is honoured and no key of Compose", path)
		}
	}
	if known.Matches("services.*.imgae") {
		t.Error("the schema knows a key that does not exist, so this test cannot fail")
	}
}

// TestShapes_AgreeWithSchema tries every kind of value on every honoured key: what
// is accepted here the Compose schema accepts too, and means the same to it.
func TestShapes_AgreeWithSchema(t *testing.T) {
	values := []string{"", "1", "-1", "0", "1.5", "1e9", ".inf", "true", "yes", "a", `"1"`, `""`, "10s", "2024-01-01", "5368709120",
		"[]", "[a]", "[a, a]", "[1]", "[null]", "[[a]]", "[{a: b}]", "{}", "{a: b}", "{a: 1}", "{a: }", "{a: [b]}", "{a: 2024-01-01}"}
	accepted := 0
	for _, path := range compose.HonouredPaths() {
		key, ok := strings.CutPrefix(path, "services.*.")
		if !ok {
			continue
		}
		for _, value := range values {
			text := document(key, value)
			got, err := load(t, text)
			if err != nil {
				continue
			}
			accepted++
			want, err := compose.LoadValidated(t.Context(), compose.Options{Path: "/apps/line-3/compose.yaml", Content: []byte(text)})
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s: got %+v, want %+v, %v", key, value, got, want, err)
			}
		}
	}
	if accepted < 50 {
		t.Errorf("got %d accepted values, want enough to mean something", accepted)
	}
}

// document writes a service that sets one key, however deep.
func document(key, value string) string {
	parts := strings.Split(key, ".")
	open := strings.Join(parts, ": {")
	image := "image: b, "
	if key == "image" {
		image = ""
	}
	return fmt.Sprintf("services: {a: {%s%s: %s%s}}\n", image, open, value, strings.Repeat("}", len(parts)-1))
}
