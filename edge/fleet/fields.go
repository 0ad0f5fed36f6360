package fleet

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"holdfast/edge"
)

// workloadFields are the values of a workload in the units people write.
func workloadFields(w edge.Workload) map[string]string {
	text, err := json.Marshal(w)
	if err != nil {
		return map[string]string{"": err.Error()} // plain data; does not fail
	}
	var tree any
	reader := json.NewDecoder(bytes.NewReader(text))
	reader.UseNumber()
	if err := reader.Decode(&tree); err != nil {
		return map[string]string{"": err.Error()}
	}
	fields := flatten(tree)
	delete(fields, "app")
	delete(fields, "name")
	setSpan(fields, "stopGrace", w.StopGrace)
	if w.Limits.Memory > 0 {
		fields["limits.memory"] = edge.Size(w.Limits.Memory).String()
	}
	if w.Request.Memory > 0 {
		fields["request.memory"] = edge.Size(w.Request.Memory).String()
	}
	for i, mount := range w.Tmpfs {
		fields[fmt.Sprintf("tmpfs[%d].size", i)] = edge.Size(mount.Size).String()
	}
	if w.Serve != nil {
		setSpan(fields, "serve.cost", w.Serve.Cost)
		setSpan(fields, "serve.timeout", w.Serve.Timeout)
		setSpan(fields, "serve.readyWithin", w.Serve.ReadyWithin)
	}
	return fields
}

func setSpan(fields map[string]string, name string, span time.Duration) {
	if span > 0 {
		fields[name] = edge.Duration(span).String()
	}
}

// flatten gives every value of a tree by its path. Lists of plain values are one
// value, so that a word that moves is one change.
func flatten(tree any) map[string]string {
	fields := map[string]string{}
	flattenInto(fields, "", tree)
	return fields
}

func flattenInto(fields map[string]string, path string, value any) {
	switch value := value.(type) {
	case nil:
	case map[string]any:
		for name, below := range value {
			flattenInto(fields, join(path, name), below)
		}
	case []any:
		if words, plain := plainList(value); plain {
			fields[path] = words
			return
		}
		for i, item := range value {
			flattenInto(fields, path+"["+itoa(i)+"]", item)
		}
	default:
		fields[path] = fmt.Sprint(value)
	}
}

func plainList(list []any) (string, bool) {
	words := make([]string, len(list))
	for i, item := range list {
		switch item.(type) {
		case map[string]any, []any:
			return "", false
		}
		words[i] = fmt.Sprint(item)
	}
	return "[" + strings.Join(words, ", ") + "]", true
}

func diffFields(before, after map[string]string) []FieldChange {
	var fields []FieldChange
	for _, name := range both(before, after) {
		if before[name] != after[name] {
			fields = append(fields, FieldChange{name, before[name], after[name]})
		}
	}
	edge.SortStable(fields, func(a, b FieldChange) int { return cmp.Compare(a.Field, b.Field) })
	return fields
}
