package edge_test

import (
	"errors"
	"testing"

	"holdfast/edge"
)

func TestServerBase(t *testing.T) {
	for text, want := range map[string]string{
		"https://a.example":          "https://a.example",
		"https://a.example/":         "https://a.example",
		"http://127.0.0.1:8080/v2":   "http://127.0.0.1:8080",
		"https://a.example/line/v2/": "https://a.example/line",
		"http://[::1]:8080":          "http://[::1]:8080",
		"a.example":                  "",
		"ftp://a.example":            "",
		"https://":                   "",
		"https://:8080":              "", // which would be this node
		"https://a.example?":         "", // to which nothing can be appended
		"https://a.example?x=1":      "",
		"https://a.example#x":        "",
		"https://me@a.example":       "",
		"https://a example":          "",
	} {
		got, err := edge.ServerBase(text)
		if got != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}
