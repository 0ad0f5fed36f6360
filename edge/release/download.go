package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"holdfast/edge"
)

// File is where a program comes to lie, and what is there of it already.
type File interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
}

// Download brings one program.
type Download struct {
	Name     string // of its file in a release folder
	Artifact edge.Artifact
	Sources  []Source
	// Rate is how many bytes a second it may take at the moment; 0, or a nil Rate: what
	// there is.
	Rate func() int64
	// Told hears how many bytes are there, and how many there will be; nil hears nothing.
	Told func(done, total int64)
	// Amiss hears of a source that was left, or asked again, and why; nil hears nothing.
	Amiss func(source string, err error)
}

// Missing tells how many bytes of the program a file does not hold.
func Missing(a edge.Artifact, file io.ReaderAt) (missing int64) {
	for _, n := range missingPieces(a, file) {
		missing += pieceLength(a, n)
	}
	return missing
}

// Fetch writes into the file what it does not hold of the program, and returns nil once
// the whole is there and has its digest. It does not sync.
func (d Download) Fetch(ctx context.Context, file File) error {
	missing := missingPieces(d.Artifact, file)
	left := int64(0)
	for _, n := range missing {
		left += pieceLength(d.Artifact, n)
	}
	f := &fetch{Download: d, file: file, done: d.Artifact.Size - left, buffer: make([]byte, edge.PieceSize)}
	defer f.leave()
	f.tell()
	for _, n := range missing {
		if err := f.piece(ctx, n); err != nil {
			return err
		}
	}
	if err := file.Truncate(d.Artifact.Size); err != nil { // what another release has left behind it
		return fmt.Errorf("cannot keep program: %w", err)
	}
	return f.whole()
}

// fetch is a download under way.
type fetch struct {
	Download
	file   File
	done   int64
	buffer []byte // of one piece
	pace   pace

	source int // the one that is asked
	stream *stream
}

// tries is how often a source is asked for a piece before the next is: a line may garble
// one, and hardly the same twice.
const tries = 2

// piece gets one piece from whichever source has it.
func (f *fetch) piece(ctx context.Context, n int) error {
	var problems []error
	for range f.Sources {
		source := f.Sources[f.source]
		for range tries {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			err := f.from(ctx, source, n)
			if err == nil {
				return nil
			}
			f.leave()
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			var kept *keepError
			if errors.As(err, &kept) {
				return err
			}
			problems = append(problems, fmt.Errorf("%s: piece %d: %w", source, n, err))
			if f.Amiss != nil {
				f.Amiss(source.String(), err)
			}
		}
		f.source = (f.source + 1) % len(f.Sources)
	}
	return fmt.Errorf("cannot get program %q: %w", f.Name, unavailable(problems))
}

// from gets one piece from one source, checks it, and only then writes it.
func (f *fetch) from(ctx context.Context, source Source, n int) error {
	at, length := int64(n)*edge.PieceSize, pieceLength(f.Artifact, n)
	if f.stream == nil || f.stream.at != at {
		f.leave()
		if err := f.open(ctx, source, at); err != nil {
			return err
		}
	}
	piece := f.buffer[:length]
	if err := f.stream.read(piece, &f.pace, f.rate); err != nil {
		return err
	}
	if is := digestOf(piece); is != f.Artifact.Pieces[n] {
		return fmt.Errorf("has the digest %s, not %s: %w", is, f.Artifact.Pieces[n], edge.ErrInvalid)
	}
	if _, err := f.file.WriteAt(piece, at); err != nil {
		return &keepError{err}
	}
	f.done += length
	f.tell()
	return nil
}

// open asks a source for the program from a piece on.
func (f *fetch) open(ctx context.Context, source Source, at int64) error {
	ctx, watch := watched(ctx)
	body, begins, err := source.Open(ctx, f.Name, at, f.Artifact.Size)
	if err != nil {
		defer watch.end()
		return watch.blame(err)
	}
	f.stream = &stream{body: body, watch: watch, at: begins}
	return f.stream.skip(at, f.buffer, &f.pace, f.rate)
}

func (f *fetch) leave() {
	if f.stream != nil {
		f.stream.close()
		f.stream = nil
	}
}

func (f *fetch) tell() {
	if f.Told != nil {
		f.Told(f.done, f.Artifact.Size)
	}
}

func (f *fetch) rate() int64 {
	if f.Rate == nil {
		return 0
	}
	return f.Rate()
}

// whole holds the program against its own digest: each piece has its own, but whoever
// signed may have made the pieces of another program than the whole.
func (f *fetch) whole() error {
	sum := sha256.New()
	if _, err := io.CopyBuffer(sum, io.NewSectionReader(f.file, 0, f.Artifact.Size), f.buffer); err != nil {
		return fmt.Errorf("cannot read program %q: %w", f.Name, err)
	}
	if is := "sha256:" + hex.EncodeToString(sum.Sum(nil)); is != f.Artifact.Digest {
		return fmt.Errorf("cannot take program %q: its pieces together have the digest %s, not %s, though each has its own: the release is not what it says: %w",
			f.Name, is, f.Artifact.Digest, edge.ErrInvalid)
	}
	return nil
}

// keepError is trouble of the node's own disk, which no other source cures.
type keepError struct{ error }

func (k *keepError) Error() string { return "cannot keep program: " + k.error.Error() }
func (k *keepError) Unwrap() error { return k.error }

func missingPieces(a edge.Artifact, file io.ReaderAt) (missing []int) {
	buffer := make([]byte, edge.PieceSize)
	for n, want := range a.Pieces {
		piece := buffer[:pieceLength(a, n)]
		// What of the piece is not there must not be taken for what was read before it.
		if there, _ := file.ReadAt(piece, int64(n)*edge.PieceSize); there < len(piece) || digestOf(piece) != want {
			missing = append(missing, n)
		}
	}
	return missing
}

func pieceLength(a edge.Artifact, n int) int64 {
	return min(edge.PieceSize, a.Size-int64(n)*edge.PieceSize)
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}
