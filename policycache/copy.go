package policycache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"holdfast/edge"
	"holdfast/edge/boltfile"
)

// Copy writes what is kept on disk into another folder, as it stands between two changes, so
// that another version of the program can be tried on it.
func (s *Store) Copy(ctx context.Context, dir string) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.release()
	if !s.Status().Kept {
		return fmt.Errorf("cannot copy policy cache: it is in memory only: %w", edge.ErrUnavailable)
	}
	for _, name := range Traces() {
		content, err := boltfile.ReadBounded(filepath.Join(s.options.Dir, name), maxDatabase)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), content, 0o600)
		}
		if err != nil {
			return fmt.Errorf("cannot copy policy cache: %w", err)
		}
	}
	return nil
}
