package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"holdfast/edge"
)

// stock is the folder of images that came with the node: archives and OCI layouts,
// which are imported when a policy wants an image that containerd does not have. So a
// flashed node needs neither a registry nor a person.
//
// It is open while the lease of the policy has ended, too. That lets no new image in:
// what is looked for is what the policy in force names by its digest, and the folder
// is written to only by whoever has the node. A wiped image store is no reason to
// leave a node without the models it has been allowed.
type stock struct {
	folder string
	images func(context.Context) ([]edge.Image, error)
	load   func(context.Context, io.Reader) ([]edge.Image, error)
	names  func(context.Context, io.Reader) ([]string, error) // of the images in an archive
	log    *slog.Logger

	// turn has capacity 1. Whoever put something in may read archives, two at once
	// would read the same ones, and may touch gave.
	turn chan struct{}
	// gave are the digests of the images that an archive held, by its name, size and
	// time of change; none of one that was refused.
	gave map[string][]string
	// called are the names and digests that an archive's table of contents tells.
	called map[string][]string
}

func newStock(folder string, log *slog.Logger) *stock {
	return &stock{folder: folder, log: log, turn: make(chan struct{}, 1), gave: map[string][]string{}, called: map[string][]string{}}
}

// Supply imports what is on stock until the node has every image of the policy, and
// says what is missing then. Of the archives it knows it reads those that hold what is
// missing, however often that is: what was imported may have been removed since.
func (s *stock) Supply(ctx context.Context, policy *edge.Policy) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return fmt.Errorf("cannot look into the stock of images: %w", ctx.Err())
	}
	held, err := s.images(ctx)
	if err != nil {
		return err
	}
	missing := missingImages(policy, held)
	if missing == nil {
		return nil
	}
	archives, err := s.archives()
	if err != nil {
		return errors.Join(missing, err)
	}
	return s.search(ctx, archives, policy, held)
}

// search imports archives until nothing is missing. Where one cannot be read, and that
// is not its own fault, the error says so.
func (s *stock) search(ctx context.Context, archives []archive, policy *edge.Policy, held []edge.Image) error {
	var unread error
	for _, one := range archives {
		if !s.worth(one, policy, held) {
			continue
		}
		err := s.take(ctx, one)
		if unread = errors.Join(unread, err); ctx.Err() != nil || errors.Is(err, edge.ErrUnavailable) {
			break // nor would the next be read
		}
		if held, err = s.images(ctx); err != nil {
			return err
		}
		if missingImages(policy, held) == nil {
			return nil
		}
	}
	return errors.Join(missingImages(policy, held), unread)
}

// archive is an entry of the folder.
type archive struct {
	name string
	key  string // another one once the content is
}

// archives lists the folder, and forgets what is no longer there.
func (s *stock) archives() (found []archive, err error) {
	entries, err := os.ReadDir(s.folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot look into the stock of images: %w", err)
	}
	for _, entry := range entries {
		info, err := os.Stat(filepath.Join(s.folder, entry.Name()))
		if err != nil {
			continue // gone since, or a link to nowhere
		}
		key := fmt.Sprintf("%s %d %v", entry.Name(), info.Size(), info.ModTime().UnixNano())
		found = append(found, archive{entry.Name(), key})
	}
	for _, known := range []map[string][]string{s.gave, s.called} {
		maps.DeleteFunc(known, func(key string, _ []string) bool {
			return !slices.ContainsFunc(found, func(one archive) bool { return one.key == key })
		})
	}
	return found, nil
}

// worth tells whether an archive holds, or may hold, what the policy wants and the
// node does not have.
func (s *stock) worth(one archive, policy *edge.Policy, held []edge.Image) bool {
	gave, known := s.gave[one.key]
	return !known || slices.ContainsFunc(gave, func(digest string) bool {
		return !slices.ContainsFunc(held, func(i edge.Image) bool { return i.Digest == digest }) &&
			slices.ContainsFunc(policy.Workloads, func(w edge.Workload) bool {
				return w.Replicas > 0 && strings.HasSuffix(w.Image, "@"+digest)
			})
	})
}

// Holds lists the images that lie in the folder, by name and digest. What cannot be read
// holds none.
func (s *stock) Holds(ctx context.Context) (names []string, err error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("cannot look into the stock of images: %w", ctx.Err())
	}
	archives, err := s.archives()
	for _, one := range archives {
		names = append(append(names, s.gave[one.key]...), s.contents(ctx, one)...)
	}
	return names, errors.Join(err, ctx.Err())
}

// contents reads an archive's table of contents, once.
func (s *stock) contents(ctx context.Context, one archive) []string {
	if names, known := s.called[one.key]; known {
		return names
	}
	source, err := OpenImage(filepath.Join(s.folder, one.name))
	if err != nil {
		return nil
	}
	defer source.Close()
	names, err := s.names(ctx, source)
	if err == nil || errors.Is(err, edge.ErrInvalid) {
		s.called[one.key] = names
	}
	return names
}

// Furnish imports what is on stock of the images that are named and that the node has
// not got. It serves a node that no policy governs, where images bear any names.
func (s *stock) Furnish(ctx context.Context, wanted []string) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return fmt.Errorf("cannot look into the stock of images: %w", ctx.Err())
	}
	held, err := s.images(ctx)
	if err != nil {
		return err
	}
	absent := slices.DeleteFunc(slices.Clone(wanted), func(ref string) bool {
		return slices.ContainsFunc(held, references{ref}.has)
	})
	if len(absent) == 0 {
		return nil
	}
	archives, err := s.archives()
	for _, one := range archives {
		if slices.ContainsFunc(s.contents(ctx, one), func(name string) bool {
			return references(absent).has(edge.Image{Name: name, Digest: name})
		}) {
			err = errors.Join(err, s.take(ctx, one))
		}
	}
	return err
}

// take imports an archive, and notes what it gave. That it was refused is noted too;
// any other failure is not the archive's fault, so it is read again the next time.
func (s *stock) take(ctx context.Context, one archive) error {
	source, err := OpenImage(filepath.Join(s.folder, one.name))
	var images []edge.Image
	if err == nil {
		images, err = s.load(ctx, source)
		err = errors.Join(err, source.Close())
	}
	refused := errors.Is(err, edge.ErrInvalid) || errors.Is(err, edge.ErrWrongPlatform)
	if err != nil && !refused {
		return fmt.Errorf("cannot import archive %q of the stock: %w", one.name, err)
	}
	if refused {
		s.log.Warn("stock-refused", "archive", one.name, "error", err.Error())
	}
	s.gave[one.key] = nil
	for _, image := range images {
		s.gave[one.key] = append(s.gave[one.key], image.Digest)
	}
	return nil
}
