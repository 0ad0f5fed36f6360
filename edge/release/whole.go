package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"holdfast/edge"
)

// MaxWhole bounds a file that is known by its digest alone: a whole system takes some
// hundred MB.
const MaxWhole = 4 << 30

// Whole brings a file of which nothing is known but its digest, such as a bundle of a whole
// system. What is there of it is taken for its beginning; whether that was right shows at
// the end, and what is not right is removed.
type Whole struct {
	URL    string
	Digest string // sha256:…
	Client *http.Client
	Rate   int64 // bytes a second; 0: what there is
	// Room says whether so many bytes more may be written; nil: they may.
	Room func(need int64) error
	// Told hears how many bytes are there, and how many there will be; nil hears nothing.
	Told func(done, total int64)
}

// Fetch brings the file to a path, and returns nil once the whole is there, with its digest,
// and synced. A beginning that turns out to be of something else costs another try at once.
func (w Whole) Fetch(ctx context.Context, path string) error {
	for again := true; ; again = false {
		began, err := w.fetch(ctx, path)
		var wrong *wrongError
		if err == nil || !errors.As(err, &wrong) {
			return err
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("cannot remove what is not the file: %w", err)
		}
		if began == 0 || !again {
			return fmt.Errorf("cannot get %s: %w: %w", w.URL, edge.ErrUnavailable, err)
		}
	}
}

// wrongError is a file that is whole, and another than it should be.
type wrongError struct{ is, want string }

// Error says both digests.
func (w *wrongError) Error() string { return "it has the digest " + w.is + ", not " + w.want }

// fetch goes on from what is there, and says how much that was.
func (w Whole) fetch(ctx context.Context, path string) (began int64, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return 0, fmt.Errorf("cannot keep file: %w", err)
	}
	defer file.Close()
	sum := sha256.New()
	if began, err = io.Copy(sum, file); err != nil {
		return 0, fmt.Errorf("cannot read what is there: %w", err)
	}
	if "sha256:"+hex.EncodeToString(sum.Sum(nil)) == w.Digest {
		return began, nil
	}
	body, at, total, err := w.open(ctx, began)
	if err != nil {
		return began, fmt.Errorf("cannot get %s: %w: %w", w.URL, edge.ErrUnavailable, err)
	}
	defer body.close()
	if at < began { // a server without ranges sends it from the start
		sum.Reset()
		if err := file.Truncate(0); err != nil {
			return began, fmt.Errorf("cannot keep file: %w", err)
		}
		began = 0
	}
	if w.Room != nil {
		if err := w.Room(total - at); err != nil {
			return began, err
		}
	}
	if err := w.copy(io.MultiWriter(&at64{file, at}, sum), body, total); err != nil {
		return began, err
	}
	if is := "sha256:" + hex.EncodeToString(sum.Sum(nil)); is != w.Digest {
		return began, &wrongError{is, w.Digest}
	}
	return began, file.Sync()
}

// copy takes what a source sends, at the pace that is allowed.
func (w Whole) copy(into io.Writer, body *stream, total int64) error {
	buffer, pace := make([]byte, 1<<16), pace{}
	for body.at < total {
		part := buffer[:min(int64(len(buffer)), total-body.at)]
		if err := body.read(part, &pace, func() int64 { return w.Rate }); err != nil {
			return fmt.Errorf("cannot get %s: %w: %w", w.URL, edge.ErrUnavailable, err)
		}
		if _, err := into.Write(part); err != nil {
			return &keepError{err}
		}
		if w.Told != nil {
			w.Told(body.at, total)
		}
	}
	return nil
}

// at64 writes into a file from an offset on.
type at64 struct {
	file *os.File
	at   int64
}

// Write writes where the last write ended.
func (a *at64) Write(part []byte) (int, error) {
	n, err := a.file.WriteAt(part, a.at)
	a.at += int64(n)
	return n, err
}

// open asks for the file from an offset on. It says from where on it comes, and how long the
// whole is.
func (w Whole) open(ctx context.Context, offset int64) (body *stream, at, total int64, err error) {
	within, watch := watched(ctx)
	fail := func(err error) (*stream, int64, int64, error) {
		watch.end()
		return nil, 0, 0, err
	}
	req, err := http.NewRequestWithContext(within, http.MethodGet, w.URL, nil)
	if err != nil {
		return fail(fmt.Errorf("%w: %w", edge.ErrInvalid, err))
	}
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	resp, err := w.Client.Do(req)
	if err != nil {
		return fail(watch.blame(shortly(err)))
	}
	if resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && offset > 0 {
		resp.Body.Close() // what is there is no beginning of it
		watch.end()
		return w.open(ctx, 0)
	}
	at, total, err = reach(resp, offset)
	if err != nil {
		resp.Body.Close()
		return fail(err)
	}
	return &stream{body: resp.Body, watch: watch, at: at}, at, total, nil
}

// reach is which part of the file an answer is, and of how long a file.
func reach(resp *http.Response, offset int64) (at, total int64, err error) {
	switch resp.StatusCode {
	case http.StatusOK:
		total = resp.ContentLength
	case http.StatusPartialContent:
		at = offset
		span, whole, _ := strings.Cut(resp.Header.Get("Content-Range"), "/")
		total, err = strconv.ParseInt(whole, 10, 64)
		if err != nil || span != fmt.Sprintf("bytes %d-%d", offset, total-1) {
			return 0, 0, fmt.Errorf("sends %.60q, not the rest from %d on: %w", resp.Header.Get("Content-Range"), offset, edge.ErrInvalid)
		}
	default:
		return 0, 0, judge(resp, offset, 0)
	}
	if total <= 0 || total > MaxWhole {
		return 0, 0, fmt.Errorf("says that it has %d bytes, not 1 to %d: %w", total, int64(MaxWhole), edge.ErrInvalid)
	}
	return at, total, nil
}
