package compose_test

import (
	"errors"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/compose"
)

const several = `x-env: &env {LEVEL: info}
title: "${NOT_TOUCHED}"
limit: 5
list: [{name: a}, {name: b}]
apps:
  line:
    x-own: &own {restart: always}
    services:
      web: {<<: *own, image: "b:${TAG}", environment: *env}
  broken:
    services:
      web:
        image: b
        prots: []
  same: &same
    services: {a: {image: b}}
  again: *same
`

func parsed(t *testing.T) *compose.Document {
	t.Helper()
	d, err := compose.Parse("policy.yaml", []byte(several))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDocument(t *testing.T) {
	d := parsed(t)
	if got := d.Values()["title"]; got != "${NOT_TOUCHED}" {
		t.Errorf("got %v, want the text as it stands", got)
	}
	if got := strings.Join(d.Keys("apps"), " "); got != "line broken same again" {
		t.Errorf("got %s, want the apps in their order", got)
	}
	for path, want := range map[string]string{
		"limit":            "policy.yaml:3:1: limit: x",
		"list[1].name":     "policy.yaml:4:20: list[1].name: x",
		"list[1].missing":  "policy.yaml:4:19: list[1].missing: x",
		"apps.line.nobody": "policy.yaml:6:3: apps.line.nobody: x",
		"nowhere":          "policy.yaml:1:1: nowhere: x",
	} {
		if got := d.Problem(path, "x", "").Error(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestDocument_Project(t *testing.T) {
	d := parsed(t)
	t.Run("AnchorsAndVariables", func(t *testing.T) {
		got, err := d.Project(t.Context(), "apps.line", "line", []string{"TAG=7"})
		if err != nil || len(got) != 1 || got[0].Key() != "line/web" || got[0].Image != "b:7" ||
			got[0].Env[0] != "LEVEL=info" || got[0].Restart != edge.RestartAlways {
			t.Errorf("got %+v, %v, want line/web of b:7, with what its anchors hold", got, err)
		}
	})
	t.Run("Alias", func(t *testing.T) {
		if got, err := d.Project(t.Context(), "apps.again", "again", nil); err != nil || got[0].Key() != "again/a" {
			t.Errorf("got %+v, %v, want again/a", got, err)
		}
	})
	t.Run("PointsIntoTheDocument", func(t *testing.T) {
		_, err := d.Project(t.Context(), "apps.broken", "broken", nil)
		const want = "policy.yaml:14:9: apps.broken.services.web.prots: unknown key; did you mean ports?"
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
	t.Run("NotThere", func(t *testing.T) {
		if _, err := d.Project(t.Context(), "apps.none", "none", nil); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("got %v, want edge.ErrInvalid", err)
		}
	})
}

func TestParse_Numbers(t *testing.T) {
	for text, good := range map[string]bool{
		"9007199254740991": true, "-9007199254740991": true, "9007199254740992": false, "18446744073709551615": false,
		".inf": false, ".nan": false, "1e300": false, "0.1": true,
	} {
		_, err := compose.Parse("a.yaml", []byte("n: "+text+"\n"))
		if good != (err == nil) {
			t.Errorf("%s: got %v, want accepted %t", text, err, good)
		}
	}
}
