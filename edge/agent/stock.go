package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"holdfast/edge"
)

// stock is the folder of images that came with the node: archives and OCI layouts,
// which are imported when a policy wants an image that containerd does not have. So a
// flashed node needs neither a registry nor a person.
type stock struct {
	folder string
	images func(context.Context) ([]edge.Image, error)
	load   func(context.Context, io.Reader) ([]edge.Image, error)
	log    *slog.Logger

	mu    sync.Mutex      // held through an import: two at once would read the same files
	tried map[string]bool // by name, size and time of change
}

func newStock(folder string, log *slog.Logger) *stock {
	return &stock{folder: folder, log: log, tried: map[string]bool{}}
}

// Supply imports what is on stock until the node has every image of the policy, and
// says what is missing then. What was imported or refused once is not read again.
func (s *stock) Supply(ctx context.Context, policy *edge.Policy) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	missing, err := s.missing(ctx, policy)
	if err != nil || missing == nil {
		return err
	}
	entries, err := os.ReadDir(s.folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(missing, fmt.Errorf("cannot look into the stock of images: %w", err))
	}
	for _, entry := range entries {
		if !s.try(ctx, entry) {
			continue
		}
		if missing, err = s.missing(ctx, policy); err != nil || missing == nil {
			return err
		}
	}
	return missing
}

func (s *stock) missing(ctx context.Context, policy *edge.Policy) (missing, err error) {
	held, err := s.images(ctx)
	if err != nil {
		return nil, err
	}
	return missingImages(policy, held), nil
}

// try imports one entry of the folder, unless it was tried before.
func (s *stock) try(ctx context.Context, entry fs.DirEntry) (imported bool) {
	info, err := entry.Info()
	if err != nil {
		return false // gone since
	}
	key := fmt.Sprintf("%s %d %v", entry.Name(), info.Size(), info.ModTime().UnixNano())
	if s.tried[key] {
		return false
	}
	archive, err := OpenImage(filepath.Join(s.folder, entry.Name()))
	if err == nil {
		_, err = s.load(ctx, archive)
		err = errors.Join(err, archive.Close())
	}
	if errors.Is(err, edge.ErrUnavailable) || ctx.Err() != nil {
		return false // not the archive's fault: it is tried again
	}
	s.tried[key] = true
	if err != nil {
		s.log.Warn("stock-refused", "archive", entry.Name(), "error", err.Error())
	}
	return err == nil
}
