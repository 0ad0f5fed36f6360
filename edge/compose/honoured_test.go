package compose_test

import (
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
