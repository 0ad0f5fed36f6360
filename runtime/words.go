package runtime

import (
	"context"
	"io"
	"strings"
)

const (
	// wordLines is how many lines of a log go into a warning: the error and what led to
	// it, mostly. The log has the rest.
	wordLines = 5
	// maxWords bounds them together, in bytes.
	maxWords = 500
	// longestTail is how much is read for that; one line may be of any length.
	longestTail = 64 << 10
)

// lastWords is what an instance wrote last, ready to be appended; nothing where there is
// nothing to be read.
func lastWords(ctx context.Context, logs LogReader, id string) string {
	tail, err := logs.LogTail(ctx, id, wordLines)
	if err != nil {
		return "" // the warning says where the log would be
	}
	defer tail.Close()
	text, _ := io.ReadAll(io.LimitReader(tail, longestTail)) // what came before an error is as good
	return words(string(text))
}

// words puts lines into one, the last of them whole if they are too long together.
func words(text string) string {
	var lines []string
	for line := range strings.Lines(strings.ToValidUTF8(text, "?")) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return ""
	}
	joined := strings.Join(lines[max(0, len(lines)-wordLines):], " | ")
	if len(joined) > maxWords {
		joined = "…" + strings.ToValidUTF8(joined[len(joined)-maxWords:], "")
	}
	return "; its last words: " + joined
}
