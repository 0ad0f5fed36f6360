package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"holdfast/edge"
	"holdfast/edge/trust"
)

// Source is a release folder somewhere.
type Source interface {
	// Open gives the bytes of a file from an offset on, or from an earlier one, and says
	// from which. size is what the file must have; 0: any, within what the caller reads.
	Open(ctx context.Context, name string, offset, size int64) (body io.ReadCloser, at int64, err error)
	// String names the source for people.
	String() string
}

// Folder is a release folder at hand, such as a stick that is mounted.
func Folder(path string) Source { return folder(path) }

type folder string

func (f folder) String() string { return string(f) }

// Open refuses what is no regular file: a stick may hold anything, and a pipe would wait for
// ever. Whatever its links lead to is held against digests all the same.
func (f folder) Open(_ context.Context, name string, offset, size int64) (io.ReadCloser, int64, error) {
	file, err := os.OpenFile(filepath.Join(string(f), name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, plainly(err)
	}
	info, err := file.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is no regular file: %w", name, edge.ErrInvalid)
	case size > 0 && info.Size() != size:
		err = fmt.Errorf("%s has %d bytes, not %d: %w", name, info.Size(), size, edge.ErrInvalid)
	default:
		_, err = file.Seek(offset, io.SeekStart)
	}
	if err != nil {
		return nil, 0, errors.Join(plainly(err), file.Close())
	}
	return file, offset, nil
}

// plainly makes a file that is not there an edge.ErrNotFound, with the path it names.
func plainly(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", edge.ErrNotFound, err)
	}
	return err
}

// Find asks sources in their order for the release document with a digest, the one of what
// was signed; an empty digest takes any. Nobody has looked at its signatures.
func Find(ctx context.Context, sources []Source, digest string) (envelope []byte, err error) {
	var problems []error
	for _, source := range sources {
		envelope, err := document(ctx, source)
		if err == nil {
			err = hasDigest(envelope, digest)
		}
		if err == nil {
			return envelope, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		problems = append(problems, fmt.Errorf("%s: %w", source, err))
	}
	return nil, fmt.Errorf("cannot get release document: %w", unavailable(problems))
}

func document(ctx context.Context, source Source) ([]byte, error) {
	ctx, watch := watched(ctx)
	defer watch.end()
	body, _, err := source.Open(ctx, edge.ReleaseFile, 0, 0)
	if err != nil {
		return nil, watch.blame(err)
	}
	defer body.Close()
	envelope, err := io.ReadAll(io.LimitReader(watchedReader{body, watch}, trust.MaxEnvelope+1))
	if err != nil {
		return nil, watch.blame(err)
	}
	if len(envelope) > trust.MaxEnvelope {
		return nil, fmt.Errorf("%s has more than %d bytes: %w", edge.ReleaseFile, trust.MaxEnvelope, edge.ErrInvalid)
	}
	return envelope, nil
}

// hasDigest tells a release document from another, whoever has signed it meanwhile.
func hasDigest(envelope []byte, digest string) error {
	opened, err := trust.Open(envelope)
	if err != nil {
		return err
	}
	if is := digestOf(opened.Payload); digest != "" && is != digest {
		return fmt.Errorf("another release lies there, %s, not %s: %w", is, digest, edge.ErrNotFound)
	}
	return nil
}

// unavailable joins what each source came to. That none did is worth another try later,
// whatever is wrong with each of them today.
func unavailable(problems []error) error {
	return fmt.Errorf("%w: %w", edge.ErrUnavailable, errors.Join(problems...))
}
