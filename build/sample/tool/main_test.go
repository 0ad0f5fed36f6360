package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const samples = "../../../testdata/digits/heldout.csv"

// try runs the tool and returns what it wrote.
func try(input string, args ...string) (code int, stdout, stderr string) {
	var out, complaint bytes.Buffer
	code = run(args, strings.NewReader(input), &out, &complaint)
	return code, out.String(), complaint.String()
}

func TestRun_Report(t *testing.T) {
	text, err := os.ReadFile(samples)
	if err != nil {
		t.Fatal(err)
	}
	for model, least := range map[string]int{"digits": 440, "digits-lite": 420} {
		code, out, complaint := try(string(text), "report", "-model", model)
		var got findings
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || complaint != "" {
			t.Fatalf("%s: code %d, %q, %v", model, code, complaint, err)
		}
		sum := 0
		for _, d := range got.Digits {
			sum += d.Samples
		}
		if got.Samples != 450 || sum != 450 || got.Right < least || got.Right > 450 {
			t.Errorf("%s: got %+v, want 450 samples and at least %d of them right", model, got, least)
		}
	}
	t.Run("Files", func(t *testing.T) {
		to := filepath.Join(t.TempDir(), "report.json")
		code, out, complaint := try("", "report", "-from", samples, "-to", to)
		written, err := os.ReadFile(to)
		_, want, _ := try(string(text), "report")
		if code != 0 || out != "" || complaint != "" || err != nil || string(written) != want {
			t.Errorf("code %d, %q, %q, %v: wrote %q, want %q", code, out, complaint, err, written, want)
		}
	})
}

func TestRun_Fails(t *testing.T) {
	row := "1,3" + strings.Repeat(",0", 64) + "\n"
	for name, c := range map[string]struct {
		args  []string
		input string
		code  int
		says  string
	}{
		"Usage":     {nil, "", exitUsage, "usage: tool report"},
		"Flag":      {[]string{"report", "-x"}, "", exitUsage, "usage"},
		"How":       {[]string{"misbehave", "well"}, "", exitUsage, "usage"},
		"Asked":     {[]string{"misbehave", "fail"}, "", exitFailed, "as it was asked to"},
		"Empty":     {[]string{"report"}, "", exitFailed, "cannot read samples: EOF"},
		"Columns":   {[]string{"report"}, row + "2,3,4\n", exitFailed, "wrong number of fields"},
		"Digit":     {[]string{"report"}, row + strings.Replace(row, "1,3", "7,x", 1), exitFailed, `sample 7: "x" is no digit`},
		"Pixel":     {[]string{"report"}, row + strings.Replace(row, ",0\n", ",17\n", 1), exitFailed, "pixel 63 is \"17\""},
		"Model":     {[]string{"report", "-model", "letters"}, row, exitFailed, "letters"},
		"NoFile":    {[]string{"report", "-from", "/nowhere/data"}, "", exitFailed, "no such file"},
		"NoOutcome": {[]string{"report", "-to", "/nowhere/data"}, row, exitFailed, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, complaint := try(c.input, c.args...)
			if code != c.code || out != "" || !strings.Contains(complaint, c.says) {
				t.Errorf("got code %d, %q, %q, want %d and %q", code, out, complaint, c.code, c.says)
			}
		})
	}
}
