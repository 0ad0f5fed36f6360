package mqtt_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
)

func sample() mqtt.Envelope {
	at := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	return mqtt.Envelope{
		Version: mqtt.EnvelopeVersion, Node: "press-1", Epoch: "00ff00ff00ff00ff", Seq: 7, Boot: "3f2a", MonoMs: 12345,
		Time: &at, TimeQuality: mqtt.TimeSigned, Class: mqtt.MemoryFirst, Type: "task", Body: json.RawMessage(`{"model":"surface"}`),
	}
}

func TestEnvelope_Encode(t *testing.T) {
	text, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"body":{"model":"surface"},"boot":"3f2a","class":"D1","epoch":"00ff00ff00ff00ff","historical":false,"monoMs":12345,` +
		`"node":"press-1","seq":7,"time":"2026-11-21T06:00:00Z","timeQuality":"signed","type":"task","v":1}`
	if string(text) != want {
		t.Errorf("envelope is %s, want %s", text, want)
	}
	got, err := mqtt.DecodeEnvelope(text)
	if err != nil || got.Seq != 7 || !got.Time.Equal(*sample().Time) || string(got.Body) != `{"model":"surface"}` {
		t.Errorf("DecodeEnvelope = %+v, %v; want the sample", got, err)
	}
}

func TestEnvelope_Refused(t *testing.T) {
	for name, spoil := range map[string]func(*mqtt.Envelope){
		"Version":      func(u *mqtt.Envelope) { u.Version = 2 },
		"Node":         func(u *mqtt.Envelope) { u.Node = "a/b" },
		"NodeGroup":    func(u *mqtt.Envelope) { u.Node = "group" },
		"EpochShort":   func(u *mqtt.Envelope) { u.Epoch = "ff" },
		"EpochUpper":   func(u *mqtt.Envelope) { u.Epoch = "00FF00FF00FF00FF" },
		"SeqZero":      func(u *mqtt.Envelope) { u.Seq = 0 },
		"SeqBeyond":    func(u *mqtt.Envelope) { u.Seq = 1 << 53 },
		"MonoNegative": func(u *mqtt.Envelope) { u.MonoMs = -1 },
		"TimeMissing":  func(u *mqtt.Envelope) { u.Time = nil },
		"TimeBeyond":   func(u *mqtt.Envelope) { at := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC); u.Time = &at },
		"TimeTooMuch":  func(u *mqtt.Envelope) { u.TimeQuality = mqtt.TimeNone },
		"Quality":      func(u *mqtt.Envelope) { u.TimeQuality = "good" },
		"Class":        func(u *mqtt.Envelope) { u.Class = "D3" },
		"Type":         func(u *mqtt.Envelope) { u.Type = "" },
		"BodyMissing":  func(u *mqtt.Envelope) { u.Body = nil },
		"BodyList":     func(u *mqtt.Envelope) { u.Body = json.RawMessage(`[]`) },
		"BodyTwice":    func(u *mqtt.Envelope) { u.Body = json.RawMessage(`{"a":1,"a":2}`) },
		"BodyTooLarge": func(u *mqtt.Envelope) {
			u.Body = json.RawMessage(`{"a":"` + strings.Repeat("x", mqtt.MaxEnvelope) + `"}`)
		},
		"BodyTooDeep": func(u *mqtt.Envelope) {
			u.Body = json.RawMessage(strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20))
		},
	} {
		t.Run(name, func(t *testing.T) {
			up := sample()
			spoil(&up)
			text, err := up.Encode()
			if name == "BodyTwice" { // encoding keeps one of the two; reading must not
				text, err = nil, decodeError(strings.Replace(encoded(t), `"model":"surface"`, `"a":1,"a":2`, 1))
			}
			if !errors.Is(err, edge.ErrInvalid) {
				t.Errorf("Encode gave %.100s, %v; want an invalid envelope", text, err)
			}
		})
	}
}

func encoded(tb testing.TB) string {
	text, err := sample().Encode()
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

func decodeError(text string) error {
	_, err := mqtt.DecodeEnvelope([]byte(text))
	return err
}

func TestDecodeEnvelope(t *testing.T) {
	good := encoded(t)
	t.Run("UnknownFieldIsPassedOver", func(t *testing.T) {
		if err := decodeError(strings.Replace(good, `{"body"`, `{"new":[1],"body"`, 1)); err != nil {
			t.Errorf("DecodeEnvelope returned %v, want nil", err)
		}
	})
	t.Run("UnknownVersionIsRefusedWhateverElse", func(t *testing.T) {
		err := decodeError(`{"v":2,"node":["another shape"]}`)
		if err == nil || !strings.Contains(err.Error(), "version 2") {
			t.Errorf("DecodeEnvelope returned %v, want that version 2 is not known", err)
		}
	})
	for name, text := range map[string]string{
		"Empty": "", "Null": "null", "List": "[]", "Cut": good[:len(good)-1], "Trailing": good + "{}",
		"CaseOfName": strings.Replace(good, `"seq"`, `"Seq"`, 1), "SeqText": strings.Replace(good, `"seq":7`, `"seq":"7"`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			if decodeError(text) == nil {
				t.Errorf("DecodeEnvelope(%q) returned nil, want an error", text)
			}
		})
	}
}

func FuzzDecodeEnvelope(f *testing.F) {
	f.Add([]byte(encoded(f)))
	f.Add([]byte(`{"v":2}`))
	f.Add([]byte(strings.Replace(encoded(f), `"surface"`, `"\u003cb\u003e \u2028 ü \ud83d\ude00","a":[1e3,-0,1.50,{"z":null,"b":true}]`, 1)))
	f.Fuzz(func(t *testing.T, text []byte) {
		up, err := mqtt.DecodeEnvelope(text)
		if err != nil {
			return
		}
		first, err := up.Encode()
		if err != nil {
			t.Fatalf("%q is read as %+v, which cannot be written: %v", text, up, err)
		}
		if canonical, err := edge.CanonicalJSON(up); err != nil || !bytes.Equal(first, canonical) {
			t.Errorf("%s is written, want the canonical %s (%v)", first, canonical, err)
		}
		again, err := mqtt.DecodeEnvelope(first)
		if err != nil {
			t.Fatalf("%s cannot be read again: %v", first, err)
		}
		second, err := again.Encode()
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("%s becomes %s (%v)", first, second, err)
		}
	})
}
