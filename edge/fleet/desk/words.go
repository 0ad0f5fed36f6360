package desk

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"holdfast/edge"
	"holdfast/mqtt"
)

// Words is a message in words for people, on one line.
func Words(s Said) string {
	words, err := words(s)
	if err != nil {
		return fmt.Sprintf("not readable (%d bytes): %v", len(s.Payload), err)
	}
	return words
}

func words(s Said) (string, error) {
	switch s.Topic.Kind {
	case mqtt.UpPresence:
		return presenceWords(s)
	case mqtt.UpHello:
		return helloWords(s)
	case mqtt.UpState:
		return stateWords(s)
	case mqtt.UpDelta:
		return deltaWords(s)
	case mqtt.UpEvent, mqtt.UpReply:
		return envelopeWords(s)
	}
	return fmt.Sprintf("%d bytes", len(s.Payload)), nil
}

func presenceWords(s Said) (string, error) {
	var p edge.Presence
	if len(s.Payload) == 0 {
		return "forgotten", nil
	}
	if err := decode(s, &p, func() string { return p.Node }); err != nil {
		return "", err
	}
	if !p.Online {
		return "gone (session " + p.Session + ")", nil
	}
	words := []string{"here", "holdfast " + p.Version}
	for _, list := range [...]struct {
		name  string
		items []string
	}{{"role", nonEmpty(p.Role)}, {"groups", p.Groups}, {"labels", pairs(p.Labels)}, {"models", p.Models}} {
		if len(list.items) > 0 {
			words = append(words, list.name+" "+strings.Join(list.items, " "))
		}
	}
	if waits := (Node{Presence: p}).Backlog(); waits > 0 {
		words = append(words, fmt.Sprintf("%d entries to be confirmed", waits))
	}
	return strings.Join(words, ", "), nil
}

func nonEmpty(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

func pairs(m map[string]string) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		all = append(all, name+"="+m[name])
	}
	return all
}

func helloWords(s Said) (string, error) {
	var h edge.Hello
	if err := decode(s, &h, func() string { return h.Node }); err != nil {
		return "", err
	}
	words := []string{fmt.Sprintf("has policy %d, root %d", h.PolicyVersion, h.RootVersion)}
	for _, r := range h.Streams {
		words = append(words, fmt.Sprintf("%s %s at %d, confirmed %d", r.Name, r.Epoch, r.Next, r.Confirmed))
	}
	for _, seen := range h.Seen {
		words = append(words, fmt.Sprintf("took %d commands of %.12s", len(seen.Counters), seen.Issuer))
	}
	if h.NeedFull {
		words = append(words, "lost its memory")
	}
	return strings.Join(words, "; "), nil
}

func stateWords(s Said) (string, error) {
	r := NewRegistry()
	if len(s.Payload) == 0 {
		return "forgotten", nil
	}
	if err := r.Take(s); err != nil {
		return "", err
	}
	n, _ := r.Node(s.Topic.Node)
	ready, known := n.Models()
	words := fmt.Sprintf("version %d: policy %s; %d of %d models ready", n.StateVersion, n.Policy(), ready, known)
	for _, key := range slices.Sorted(maps.Keys(n.Reported.Workloads)) {
		w := n.Reported.Workloads[key]
		words += fmt.Sprintf("; %s %d of %d ready", key, w.Ready, w.Desired)
	}
	for _, code := range slices.Sorted(maps.Keys(n.Reported.Warnings)) {
		words += "; warning " + code
	}
	return words, nil
}

func deltaWords(s Said) (string, error) {
	var d edge.StateDelta
	if err := decode(s, &d, func() string { return d.Node }); err != nil {
		return "", err
	}
	return fmt.Sprintf("version %d after %d: %s", d.To, d.From, d.Patch), nil
}

func envelopeWords(s Said) (string, error) {
	u, err := mqtt.DecodeEnvelope(s.Payload)
	if err != nil {
		return "", err
	}
	words := fmt.Sprintf("%s %d %s %s", u.Epoch, u.Seq, u.Class, u.Type)
	if u.Historical {
		words += " (kept while cut off)"
	}
	switch u.Type {
	case TypeProgress, typeReply:
		var r edge.Reply
		if json.Unmarshal(u.Body, &r) == nil && r.Command != "" {
			return words + ": " + ReplyWords(r), nil
		}
	case typeEvent:
		var e edge.Event
		if json.Unmarshal(u.Body, &e) == nil && e.Kind != "" {
			return words + ": " + eventWords(e), nil
		}
	}
	return words + ": " + string(u.Body), nil
}

// The types of envelopes that are put into words.
const (
	typeReply = "reply"
	typeEvent = "event"
)

func eventWords(e edge.Event) string {
	words := []string{string(e.Kind), e.Subject}
	words = append(words, pairs(e.Facts)...)
	if e.Cause != "" {
		words = append(words, "because", e.Cause)
	}
	return strings.Join(words, " ")
}

// ReplyWords says what became of a command.
func ReplyWords(r edge.Reply) string {
	words := fmt.Sprintf("command %s %s", r.Command, r.Stage)
	for _, more := range [...]string{r.Reason, r.Detail, progressWords(r.Progress)} {
		if more != "" {
			words += ": " + more
		}
	}
	return words
}
