package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"holdfast/edge"
)

// kept is one line of what the fleet has kept.
type kept struct {
	Type string
	Body struct{ ID string }
}

// awaitHistory waits until the fleet has kept the last of the tasks: the node tells of
// tasks once a second, so that what it has told is not yet all that happened.
func (s *show) awaitHistory(ctx context.Context, asked []string) error {
	return s.await(ctx, "the fleet to keep the last task", func(edge.Status) bool {
		found, _, err := s.findTasks(asked)
		return err == nil && slices.Contains(found, asked[len(asked)-1])
	})
}

// checkHistory looks for the tasks in what the fleet has kept, each once and in order.
func (s *show) checkHistory(asked []string) error {
	found, records, err := s.findTasks(asked)
	if err != nil {
		return err
	}
	if !slices.Equal(found, asked) {
		return fmt.Errorf("the fleet has %v, want each once and in order: %v", found, asked)
	}
	fmt.Printf("  the fleet has kept %d records; the %d tasks of that time are among them, each once and in order\n", records, len(asked))
	return nil
}

// findTasks reads which of the tasks the fleet has kept, and how many records in all.
func (s *show) findTasks(asked []string) (found []string, records int, err error) {
	files, err := filepath.Glob(filepath.Join(s.fleet.keep, siteName, "history", nodeName, "*.jsonl"))
	if err != nil {
		return nil, 0, err
	}
	for _, path := range files {
		lines, err := readHistory(path)
		if err != nil {
			return nil, 0, err
		}
		records += len(lines)
		for _, line := range lines {
			if line.Type == "task" && slices.Contains(asked, line.Body.ID) {
				found = append(found, line.Body.ID)
			}
		}
	}
	return found, records, nil
}

func readHistory(path string) (lines []kept, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	reader := bufio.NewScanner(file)
	reader.Buffer(nil, 1<<20)
	for reader.Scan() {
		var line kept
		if err := json.Unmarshal(reader.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		lines = append(lines, line)
	}
	return lines, reader.Err()
}
