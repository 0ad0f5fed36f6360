package cli

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestIsJournal(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	info, err := write.Stat()
	if err != nil {
		t.Fatal(err)
	}
	about, _ := info.Sys().(*syscall.Stat_t)
	own := fmt.Sprintf("%d:%d", about.Dev, about.Ino)
	if !isJournal(write, own) {
		t.Errorf("%s is not taken for the journal", own)
	}
	for _, other := range []string{"", "1:2", own + "0", "x"} {
		if isJournal(write, other) {
			t.Errorf("%q is taken for %s", other, own)
		}
	}
	if isJournal(&bytes.Buffer{}, own) {
		t.Error("a buffer is taken for the journal")
	}
}

func TestNewLogger_Journal(t *testing.T) {
	var level slog.LevelVar
	level.Set(slog.LevelDebug)
	log := func(format string) string {
		var out bytes.Buffer
		logger := newLogger(&out, format, &level, true).With("node", "gw-1").WithGroup("g")
		logger.Debug("d", "k", "a\nb")
		logger.Info("i")
		logger.Warn("w")
		logger.Error("e")
		return out.String()
	}
	want := `<7>level=DEBUG msg=d node=gw-1 g.k="a\nb"
<6>level=INFO msg=i node=gw-1
<4>level=WARN msg=w node=gw-1
<3>level=ERROR msg=e node=gw-1
`
	if got := log("text"); got != want {
		t.Errorf("the journal gets\n%s\nwant\n%s", got, want)
	}
	for i, line := range strings.Split(strings.TrimSpace(log("json")), "\n") {
		if prefix := []string{"<7>{", "<6>{", "<4>{", "<3>{"}[i]; !strings.HasPrefix(line, prefix) || !strings.Contains(line, `"time"`) {
			t.Errorf("the journal gets %s, want it to begin with %s", line, prefix)
		}
	}
	level.Set(slog.LevelWarn)
	if got := log("text"); strings.Count(got, "\n") != 2 {
		t.Errorf("from warn on the journal gets\n%s", got)
	}
	var plain bytes.Buffer
	newLogger(&plain, "text", &level, false).Error("e")
	if !strings.HasPrefix(plain.String(), "time=") {
		t.Errorf("elsewhere a line is %q", &plain)
	}
}
