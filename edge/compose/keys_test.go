package compose_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/compose-spec/compose-go/v2/tree"

	"holdfast/edge/compose"
)

// TestKeys: every honoured key is listed, with what it means.
func TestKeys(t *testing.T) {
	keys := compose.Keys()
	for _, key := range keys {
		if key.Meaning == "" || key.Value == "" {
			t.Errorf("%s: got %+v, want what it means", key.Path, key)
		}
	}
	for _, path := range compose.HonouredPaths() {
		path = strings.Replace(path, "services.*", "services.SERVICE", 1)
		path = strings.Replace(path, ".*", ".NAME", 1)
		if !slices.ContainsFunc(keys, func(k compose.Key) bool { return k.Path == path || strings.HasPrefix(k.Path, path+".") }) {
			t.Errorf("%s is honoured and not listed", path)
		}
	}
}

// TestRefusedKeys: what is listed as refused is Compose's, and is refused.
func TestRefusedKeys(t *testing.T) {
	known := tree.NewMatcher(schema.AttributePaths()...)
	for _, refused := range compose.RefusedKeys() {
		for _, key := range refused.Keys {
			if key == "route" { // of x-holdfast
				continue
			}
			text := "services: {a: {image: b, " + key + ": x}}"
			if known.Matches(tree.Path("services.*.deploy." + key)) {
				text = "services: {a: {image: b, deploy: {" + key + ": x}}}"
			} else if !known.Matches(tree.Path("services.*."+key)) && !known.Matches(tree.Path(key)) && !known.Matches(tree.Path("secrets.*."+key)) {
				t.Errorf("%s is refused and no key of Compose", key)
			}
			_, err := load(t, text)
			if err == nil {
				t.Errorf("%s is listed as refused and was taken", key)
			}
		}
	}
}
