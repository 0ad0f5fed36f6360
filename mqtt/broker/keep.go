package broker

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/storage/bolt"

	"holdfast/edge"
)

// memory keeps retained messages in a file, and nothing else: the library would also
// write each message on its way to the disk twice. It is the library's hook, asked less.
type memory struct {
	bolt.Hook
	once sync.Once
}

// keptFile is the file within Options.Keep.
const keptFile = "retained.db"

// Provides lists what the library asks.
func (m *memory) Provides(question byte) bool {
	return bytes.IndexByte([]byte{mochi.OnRetainMessage, mochi.OnRetainedExpired, mochi.StoredRetainedMessages}, question) >= 0
}

// Stop closes the file, the first time it is called.
func (m *memory) Stop() (err error) {
	m.once.Do(func() { err = m.Hook.Stop() })
	return err
}

// remember opens the file.
func (b *Broker) remember() error {
	if b.options.Keep == "" {
		return nil
	}
	if err := os.MkdirAll(b.options.Keep, 0o700); err != nil {
		return fmt.Errorf("cannot create folder of broker: %w", err)
	}
	path := filepath.Join(b.options.Keep, keptFile)
	b.memory = &memory{}
	if err := b.server.AddHook(b.memory, &bolt.Options{Path: path}); err != nil {
		b.memory = nil // it was not opened
		return edge.WithHint(fmt.Errorf("cannot open retained messages %q: %w", path, errors.Join(err, edge.ErrUnavailable)),
			"does another broker use it? A file that is damaged may be moved away: nodes say again who they are, and `fleet attend` brings their policies")
	}
	return nil
}
