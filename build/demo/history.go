package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// kept is one line of what the fleet has kept.
type kept struct {
	Type string
	Body struct{ ID string }
}

// checkHistory looks for the tasks in what the fleet has kept, each once and in order.
func (s *show) checkHistory(asked []string) error {
	files, err := filepath.Glob(filepath.Join(s.fleet.keep, siteName, "history", nodeName, "*.jsonl"))
	if err != nil {
		return err
	}
	var found []string
	records := 0
	for _, path := range files {
		lines, err := readHistory(path)
		if err != nil {
			return err
		}
		records += len(lines)
		for _, line := range lines {
			if line.Type == "task" && slices.Contains(asked, line.Body.ID) {
				found = append(found, line.Body.ID)
			}
		}
	}
	if !slices.Equal(found, asked) {
		return fmt.Errorf("the fleet has %v, want each once and in order: %v", found, asked)
	}
	fmt.Printf("  the fleet has kept %d records; the %d tasks of that time are among them, each once and in order\n", records, len(asked))
	return nil
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
