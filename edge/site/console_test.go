package site_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/edge/site"
)

// TestConsole_FitsTheScreen wants ASCII, 80 columns and 24 lines, whatever there is to say.
func TestConsole_FitsTheScreen(t *testing.T) {
	many := make([]string, 40)
	faults := make([]site.Fault, 20)
	for i := range many {
		many[i] = fmt.Sprintf("enp%ds0f1 2001:db8:1111:2222:3333:4444:5555:%x/64", i, i)
	}
	for i := range faults {
		faults[i] = site.Fault{Line: i + 1, Key: "broker.url", Detail: strings.Repeat("größer\x1b[2J\\n als ", 30), Remedy: "«änder es»"}
	}
	for name, s := range map[string]site.Standing{
		"Nothing":  {},
		"Fresh":    {Node: "gw", Version: "1.0", Governs: "policy first version 1 (factory)", Key: "age1" + strings.Repeat("q", 58), Addresses: many[:2]},
		"Refused":  {Node: strings.Repeat("n", 63), Version: strings.Repeat("v", 90), Governs: strings.Repeat("g", 200), Link: strings.Repeat("l", 200), Addresses: many, Report: site.Report{Refused: &site.Refused{File: "holdfast-site.yaml.txt", Faults: faults}}},
		"Applied":  {Node: "gw", Addresses: many, Report: site.Report{Applied: &site.Applied{File: site.Name, At: time.Unix(0, 0)}}},
		"NoFaults": {Report: site.Report{Refused: &site.Refused{File: site.Name}}},
	} {
		t.Run(name, func(t *testing.T) {
			text := site.Console(s)
			lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
			if len(lines) > 24 {
				t.Errorf("got %d lines:\n%s", len(lines), text)
			}
			for _, line := range lines {
				if len(line) > 80 || strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c > '~' || c == '\\' }) {
					t.Errorf("got a line that the console cannot show: %q", line)
				}
			}
			if wrong := s.Report.Refused != nil; wrong != strings.Contains(text, "start this machine again") {
				t.Errorf("got no advice:\n%s", text)
			}
		})
	}
}
