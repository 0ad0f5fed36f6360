package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"holdfast/build/sample/digits"
)

// findings are what is written.
type findings struct {
	Model   string  `json:"model"`
	Samples int     `json:"samples"`
	Right   int     `json:"right"`
	Digits  []digit `json:"digits"`
}

// digit is how one digit fared.
type digit struct {
	Digit   int `json:"digit"`
	Samples int `json:"samples"`
	Right   int `json:"right"`
}

// before the pixels of a sample stand its number and what it is.
const before = 2

// examine has a model look at every sample.
func examine(name string, from io.Reader, to io.Writer) error {
	model, err := digits.Open(name)
	if err != nil {
		return err
	}
	found := findings{Model: name, Digits: make([]digit, digits.Classes)}
	rows := csv.NewReader(from)
	rows.ReuseRecord = true
	rows.FieldsPerRecord = before + digits.Pixels
	if _, err := rows.Read(); err != nil { // what the columns are called
		return fmt.Errorf("cannot read samples: %w", err)
	}
	var pixels [digits.Pixels]float32
	var scores [digits.Classes]float32
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return found.write(to)
		}
		if err != nil {
			return fmt.Errorf("cannot read samples: %w", err)
		}
		is, err := parse(row, pixels[:])
		if err != nil {
			return fmt.Errorf("sample %s: %w", row[0], err)
		}
		found.note(is, digits.Classify(model, scores[:], pixels[:]))
	}
}

// parse reads a row: what it is, and its pixels.
func parse(row []string, pixels []float32) (is int, err error) {
	is, err = strconv.Atoi(row[1])
	if err != nil || is < 0 || is >= digits.Classes {
		return 0, fmt.Errorf("%q is no digit", row[1])
	}
	for i, text := range row[before:] {
		ink, err := strconv.Atoi(text)
		if err != nil || ink < 0 || ink > digits.MaxInk {
			return 0, fmt.Errorf("pixel %d is %q, and not between 0 and %d", i, text, digits.MaxInk)
		}
		pixels[i] = float32(ink)
	}
	return is, nil
}

// note counts a sample that is one digit and was taken for another, or for what it is.
func (f *findings) note(is, taken int) {
	f.Samples++
	f.Digits[is].Samples++
	if is == taken {
		f.Right++
		f.Digits[is].Right++
	}
}

func (f *findings) write(to io.Writer) error {
	for i := range f.Digits {
		f.Digits[i].Digit = i
	}
	text, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("cannot write report: %w", err)
	}
	_, err = to.Write(append(text, '\n'))
	return err
}
