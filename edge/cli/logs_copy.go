package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"holdfast/edge"
	"holdfast/edge/localapi"
)

const (
	// comparedLines is how much of the output is asked for again after a restart of the agent
	// and compared with what was printed: what an instance prints in the second in between,
	// and plenty.
	comparedLines = 2000
	// joinLines is how many lines the stream that goes on repeats, for what came while they
	// were compared.
	joinLines = 100
)

// logCopy copies the output of an instance, and finds where it was when it begins anew.
type logCopy struct {
	out    io.Writer
	recent []string // the latest whole lines
	cutter lineCutter
	broken error // writing failed
}

// all copies until the end of the stream.
func (c *logCopy) all(from io.Reader) error {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if c.write(buffer[:n]); c.broken != nil || errors.Is(err, io.EOF) {
			return c.broken
		}
		if err != nil {
			return fmt.Errorf("cannot read output: %w: %w", edge.ErrUnavailable, err)
		}
	}
}

// write prints text, and remembers the end of it.
func (c *logCopy) write(text []byte) {
	if len(text) == 0 {
		return
	}
	_, c.broken = c.out.Write(text)
	c.recent = append(c.recent, c.cutter.add(text)...)
	if surplus := len(c.recent) - comparedLines; surplus > 0 {
		c.recent = slices.Delete(c.recent, 0, surplus)
	}
}

// resume opens the output again, and prints what has come since.
func (c *logCopy) resume(ctx context.Context, client *localapi.Client, target string, agent *presence) (io.ReadCloser, error) {
	whole, err := untilReady(ctx, agent, func() (io.ReadCloser, error) { return client.Logs(ctx, target, comparedLines, false) })
	if err != nil {
		return nil, err
	}
	tail, err := readLines(whole, comparedLines)
	_ = whole.Close() // it was only read
	if err != nil {
		return nil, err
	}
	if fresh := freshLines(c.recent, tail); fresh == len(tail) && len(c.recent) > 0 && fresh > 0 {
		agent.say("none of the output printed so far is there; what follows may begin later")
	}
	c.print(tail)
	output, err := client.Logs(ctx, target, joinLines, true)
	if err != nil {
		return nil, err
	}
	reader := bufio.NewReader(output)
	again, err := readLines(reader, min(joinLines-1, len(tail)))
	if err != nil {
		return nil, errors.Join(err, output.Close())
	}
	c.print(again)
	return struct {
		io.Reader
		io.Closer
	}{reader, output}, nil
}

// untilReady asks until the new agent knows the instance, which it looks for when it begins.
func untilReady(ctx context.Context, agent *presence, ask func() (io.ReadCloser, error)) (io.ReadCloser, error) {
	agent.pause.reset()
	for range 10 {
		output, err := ask()
		if err == nil || !errors.Is(err, edge.ErrNotFound) && !errors.Is(err, edge.ErrUnavailable) {
			return output, err
		}
		if !agent.pause.wait(ctx) {
			return nil, errEnough
		}
	}
	return ask()
}

// print writes the lines that are new.
func (c *logCopy) print(lines []string) {
	for _, line := range lines[len(lines)-freshLines(c.recent, lines):] {
		begun := string(c.cutter.rest) // of this line, when the agent ended
		if rest, continues := strings.CutPrefix(line, begun); continues {
			c.write([]byte(rest + "\n"))
		} else {
			c.write([]byte("\n" + line + "\n"))
		}
	}
}

// freshLines is how many of the latest lines of an output were not printed yet: as few as can
// be by those that were.
func freshLines(printed, lines []string) int {
	for fresh := range lines {
		known := lines[:len(lines)-fresh]
		n := min(len(known), len(printed))
		if n > 0 && slices.Equal(known[len(known)-n:], printed[len(printed)-n:]) {
			return fresh
		}
	}
	return len(lines)
}

// readLines reads so many whole lines, or what there is of them.
func readLines(from io.Reader, most int) ([]string, error) {
	reader, is := from.(*bufio.Reader)
	if !is {
		reader = bufio.NewReader(from)
	}
	var lines []string
	for len(lines) < most {
		line, err := reader.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return lines, nil // what has no end yet comes again
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read output: %w: %w", edge.ErrUnavailable, err)
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	return lines, nil
}
