package compose

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdfast/edge"
)

// canaryKey is the key of x-holdfast that has a share of the tasks try a new version.
const canaryKey = "canary"

// canary is how a new version of a model is tried before it replaces the old one.
func (s service) canary() *edge.Canary {
	values, given := s.config.Extension[canaryKey].(map[string]any)
	if s.at.at(extensionKey, canaryKey) == nil {
		return nil
	}
	if !given {
		s.problem("is not a mapping", "write share: 10% below it", extensionKey, canaryKey)
		return nil
	}
	if s.config.Extension["model"] == nil {
		s.problem("needs a model, whose tasks are shared", "name it with x-holdfast.model, or remove it", extensionKey, canaryKey)
	}
	return &edge.Canary{
		Share:  s.canaryNumber(values, "share", 1, edge.MaxCanaryShare, fmt.Sprintf("write a share from 1%% to %d%%", edge.MaxCanaryShare)),
		Tasks:  s.canaryNumber(values, "tasks", 1, edge.MaxCanaryTasks, fmt.Sprintf("write a number from 1 to %d", edge.MaxCanaryTasks)),
		For:    s.canaryTime(values),
		Slower: s.canarySlower(values),
	}
}

// canaryNumber reads a whole number, which may have a % after it if it is the share; what
// is not there is 0, but for the share.
func (s service) canaryNumber(values map[string]any, key string, least, most int, remedy string) int {
	n, err := 0, error(nil)
	switch value := values[key].(type) {
	case nil:
		if key != "share" {
			return 0
		}
	case int:
		n = value
	case string:
		if key == "share" {
			value = strings.TrimSuffix(value, "%")
		}
		n, err = strconv.Atoi(value)
	}
	if err != nil || n < least || n > most {
		s.problem("is out of bounds", remedy, extensionKey, canaryKey, key)
		return least
	}
	return n
}

func (s service) canaryTime(values map[string]any) time.Duration {
	if values["for"] == nil {
		return 0
	}
	text, _ := values["for"].(string)
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > longestCost {
		s.problem("is not a duration", "write one up to 24h with its unit, such as 10m", extensionKey, canaryKey, "for")
		return 0
	}
	return d
}

func (s service) canarySlower(values map[string]any) float64 {
	times, err := 0.0, error(nil)
	switch value := values["slower"].(type) {
	case nil:
		return 0
	case int:
		times = float64(value)
	case float64:
		times = value
	case string:
		times, err = strconv.ParseFloat(value, 64)
	}
	if err != nil || !(times >= 1 && times <= edge.MaxCanarySlower) {
		s.problem("is out of bounds", fmt.Sprintf("write how many times the old version's time it may take, from 1 to %d, such as 1.5", edge.MaxCanarySlower),
			extensionKey, canaryKey, "slower")
		return 0
	}
	return times
}
