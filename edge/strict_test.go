package edge_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"holdfast/edge"
)

func bounds() edge.JSONBounds { return edge.JSONBounds{Size: 4096, Depth: 4} }

func TestCheckJSON(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want edge.JSONReason
	}{
		"Plain":             {` {"a": [1, -2.5e3, "x", true, false, null], "b": {}} `, ""},
		"TooLarge":          {`"` + strings.Repeat("a", 4096) + `"`, edge.JSONTooLarge},
		"Deepest":           {`[[[[]]]]`, ""},
		"TooDeep":           {`[[[[[]]]]]`, edge.JSONTooDeep},
		"TooDeepObjects":    {strings.Repeat(`{"a":`, 800), edge.JSONTooDeep},
		"Duplicate":         {`{"a":1,"a":1}`, edge.JSONDuplicate},
		"DuplicateInside":   {`[{"x":{"a":1,"b":2,"a":3}}]`, edge.JSONDuplicate},
		"DuplicateEscaped":  {`{"a":1,"\u0061":2}`, edge.JSONDuplicate},
		"DuplicateByCase":   {`{"keyid":1,"KeyID":2}`, edge.JSONDuplicate},
		"DuplicateByKelvin": {`{"k":1,"\u212a":2}`, edge.JSONDuplicate},
		"SameNameElsewhere": {`{"a":{"a":1},"b":{"a":1}}`, ""},
		"LargestNumber":     {`9007199254740991`, ""},
		"Giant":             {`9007199254740992`, edge.JSONNumber},
		"GiantNegative":     {`-9007199254740992`, edge.JSONNumber},
		"GiantExponent":     {`1e400`, edge.JSONNumber},
		"GiantExponentSeen": {`1e16`, edge.JSONNumber},
		"LongNumber":        {`0.` + strings.Repeat("1", 40), edge.JSONNumber},
		"Latin1":            {"\"\xe9\"", edge.JSONEncoding},
		"Overlong":          {"\"\xc0\xaf\"", edge.JSONEncoding},
		"SurrogateBytes":    {"\"\xed\xa0\x80\"", edge.JSONEncoding},
		"LoneHigh":          {`"\ud800"`, edge.JSONEncoding},
		"LoneLow":           {`"\udc00"`, edge.JSONEncoding},
		"TwoHigh":           {`"\ud800\ud800"`, edge.JSONEncoding},
		"Pair":              {`"\ud83d\ude00"`, ""},
		"Trailing":          {`{} {}`, edge.JSONTrailing},
		"TrailingZero":      {"{}\x00", edge.JSONTrailing},
		"Empty":             {``, edge.JSONSyntax},
		"LeadingZero":       {`01`, edge.JSONSyntax},
		"BareMinus":         {`-`, edge.JSONSyntax},
		"TrailingComma":     {`[1,]`, edge.JSONSyntax},
		"LeadingComma":      {`[,1]`, edge.JSONSyntax},
		"ControlInString":   {"\"a\nb\"", edge.JSONSyntax},
		"BadEscape":         {`"\x41"`, edge.JSONSyntax},
		"CutEscape":         {`"\u12`, edge.JSONSyntax},
		"Unclosed":          {`{"a":"`, edge.JSONSyntax},
		"NaN":               {`NaN`, edge.JSONSyntax},
		"ByteOrderMark":     {"\ufeff{}", edge.JSONSyntax},
	} {
		t.Run(name, func(t *testing.T) {
			err := edge.CheckJSON([]byte(test.text), bounds())
			var got *edge.JSONError
			switch {
			case test.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.want != "" && (!errors.As(err, &got) || got.Reason != test.want):
				t.Errorf("error = %v, want %s", err, test.want)
			}
		})
	}
}

// FuzzCheckJSON holds the scanner against the standard library's.
func FuzzCheckJSON(f *testing.F) {
	for _, text := range []string{document, `{"a":[1,-2.5e3,"\u0041\n",true,null]}`, `[1,]`, `"\ud83d\ude00"`, `{"a":1}x`, `1e400`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		err := edge.CheckJSON(text, edge.JSONBounds{Size: 1 << 16, Depth: 32})
		valid := json.Valid(text)
		var refused *edge.JSONError
		switch {
		case err == nil && !valid:
			t.Fatalf("accepted what is no JSON: %q", text)
		case err == nil:
		case !errors.As(err, &refused):
			t.Fatalf("not a JSONError: %v", err)
		case valid && (refused.Reason == edge.JSONSyntax || refused.Reason == edge.JSONTrailing):
			t.Fatalf("%v: refused as no JSON, but it is: %q", err, text)
		}
	})
}
