package desk

import (
	"encoding/json"
	"fmt"

	"holdfast/edge"
)

// mergePatch applies a JSON merge patch (RFC 7396). The result is bounded as what
// comes over the wire is, so that patches cannot add up.
func mergePatch(target, patch json.RawMessage) (json.RawMessage, error) {
	var base, change any
	if err := edge.CheckJSON(patch, said()); err != nil {
		return nil, fmt.Errorf("patch: %w", err)
	}
	if err := json.Unmarshal(patch, &change); err != nil {
		return nil, fmt.Errorf("patch: %w", err)
	}
	if len(target) > 0 {
		if err := json.Unmarshal(target, &base); err != nil {
			return nil, fmt.Errorf("state: %w", err)
		}
	}
	merged, err := json.Marshal(merge(base, change))
	if err != nil {
		return nil, fmt.Errorf("cannot encode state: %w", err)
	}
	if err := edge.CheckJSON(merged, said()); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return merged, nil
}

func merge(target, patch any) any {
	changes, is := patch.(map[string]any)
	if !is {
		return patch
	}
	object, is := target.(map[string]any)
	if !is {
		object = map[string]any{}
	}
	for name, value := range changes {
		if value == nil {
			delete(object, name)
			continue
		}
		object[name] = merge(object[name], value)
	}
	return object
}
