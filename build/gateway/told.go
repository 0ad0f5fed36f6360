package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"holdfast/edge"
)

// told is one line of what a gateway tells in a proof.
type told struct {
	on   time.Duration // since the power came
	at   time.Duration // since its kernel began
	what string
	rest string
}

// errEnded is a machine that ends by itself.
var errEnded = errors.New("the machine ended before it was proved")

// listen hands on what is told, until the judge has enough.
func listen(from io.Reader, began time.Time, judge func(told) (bool, error)) error {
	lines := bufio.NewScanner(from)
	const longest = 1 << 20 // a status is one line
	lines.Buffer(nil, longest)
	for lines.Scan() {
		one, err := parseTold(lines.Text(), time.Since(began))
		if err != nil {
			return err
		}
		if enough, err := judge(one); enough || err != nil {
			return err
		}
	}
	return errors.Join(errEnded, lines.Err())
}

// parseTold reads seconds, a word, and what belongs to it.
func parseTold(line string, on time.Duration) (told, error) {
	at, rest, _ := strings.Cut(line, " ")
	seconds, err := strconv.ParseFloat(at, 64)
	what, rest, _ := strings.Cut(rest, " ")
	if err != nil || what == "" || seconds < 0 || seconds > 1e6 {
		return told{}, fmt.Errorf("cannot read %q: %w", line, edge.ErrInvalid)
	}
	return told{on: on, at: time.Duration(seconds * float64(time.Second)), what: what, rest: strings.TrimSpace(rest)}, nil
}

// print shows it.
func (t told) print() { fmt.Printf("gateway: %.1f s: %s %.300s\n", t.at.Seconds(), t.what, t.rest) }
