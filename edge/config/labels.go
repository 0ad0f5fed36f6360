package config

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

// maxLabels is how many labels a node may carry: they travel with every report
// of the node.
const maxLabels = 64

// labelsField is the one setting that is a map. As text it reads
// site=hall-2,line=3; a file gives it as a mapping. Layers merge label by label.
func labelsField(at func(*Config) *map[string]string) field {
	return field{
		wants: "labels as name=value separated by commas; names and values of at most 63 letters, digits, '.', '_' or '-'",
		set: func(c *Config, in input) error {
			parsed, err := parseLabels(in.text)
			if err != nil {
				return err
			}
			return addLabels(at(c), parsed)
		},
		get: func(c *Config) string { return formatLabels(*at(c)) },
	}
}

func parseLabels(text string) (map[string]string, error) {
	labels := map[string]string{}
	if text == "" {
		return labels, nil
	}
	for pair := range strings.SplitSeq(text, ",") {
		name, value, found := strings.Cut(pair, "=")
		if !found || !isName(name) || value != "" && !isName(value) {
			return nil, errors.New("is not a list of labels")
		}
		labels[name] = value
	}
	return labels, nil
}

// addLabels puts more over what is there, in a map of its own, because the one
// there may belong to an earlier configuration.
func addLabels(at *map[string]string, more map[string]string) error {
	merged := maps.Clone(*at)
	if merged == nil {
		merged = map[string]string{}
	}
	maps.Copy(merged, more)
	if len(merged) > maxLabels {
		return errors.New("makes too many labels")
	}
	*at = merged
	return nil
}

func formatLabels(labels map[string]string) string {
	pairs := make([]string, 0, len(labels))
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, name+"="+labels[name])
	}
	return strings.Join(pairs, ",")
}

// isName tells whether s may name a node or a label: what a host name, an MQTT
// topic level and a log line all carry unquoted.
func isName(s string) bool {
	if s == "" || len(s) > 63 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alphanumeric && (i == 0 || !strings.ContainsRune("._-", rune(c))) {
			return false
		}
	}
	return true
}
