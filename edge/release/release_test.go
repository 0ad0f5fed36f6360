package release_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/edge/release"
	"holdfast/edge/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// program is two pieces and a half.
var program = func() []byte {
	text := make([]byte, 2*edge.PieceSize+edge.PieceSize/2)
	rand.New(rand.NewSource(1)).Read(text)
	return text
}()

const name = "holdfast-linux-amd64"

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func artifact() edge.Artifact {
	a := edge.Artifact{Size: int64(len(program)), Digest: digest(program)}
	for at := 0; at < len(program); at += edge.PieceSize {
		a.Pieces = append(a.Pieces, digest(program[at:min(len(program), at+edge.PieceSize)]))
	}
	return a
}

// memory is a file that counts how often each byte was written.
type memory struct {
	content []byte
	writes  int
	full    bool
}

func (m *memory) ReadAt(into []byte, at int64) (int, error) {
	return bytes.NewReader(m.content).ReadAt(into, at)
}

func (m *memory) WriteAt(piece []byte, at int64) (int, error) {
	if m.full {
		return 0, unix.ENOSPC
	}
	if grown := int(at) + len(piece); grown > len(m.content) {
		m.content = append(m.content, make([]byte, grown-len(m.content))...)
	}
	m.writes += len(piece)
	return copy(m.content[at:], piece), nil
}

func (m *memory) Truncate(size int64) error {
	m.content = m.content[:size]
	return nil
}

// server is a source that may do anything. It says what it was asked for.
type server struct {
	name  string
	asked []string
	open  func(ctx context.Context, offset int64) (io.ReadCloser, int64, error)
}

func (s *server) String() string { return s.name }

func (s *server) Open(ctx context.Context, file string, offset, _ int64) (io.ReadCloser, int64, error) {
	s.asked = append(s.asked, fmt.Sprintf("%s from %d", file, offset))
	return s.open(ctx, offset)
}

func body(content []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(content)) }

func good(name string) *server {
	return &server{name: name, open: func(_ context.Context, offset int64) (io.ReadCloser, int64, error) {
		return body(program[offset:]), offset, nil
	}}
}

// sending sends whatever it is given, from the offset it was asked for.
func sending(name string, content []byte) *server {
	return &server{name: name, open: func(_ context.Context, offset int64) (io.ReadCloser, int64, error) {
		return body(content[min(int(offset), len(content)):]), offset, nil
	}}
}

// drop sends a byte now and then, until nobody listens.
type drop struct {
	ctx   context.Context
	every time.Duration
}

func (d drop) Read(into []byte) (int, error) {
	select {
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	case <-time.After(d.every):
		into[0] = 0
		return 1, nil
	}
}

func (drop) Close() error { return nil }

func dripping(every time.Duration) *server {
	return &server{name: "slow", open: func(ctx context.Context, offset int64) (io.ReadCloser, int64, error) {
		return drop{ctx, every}, offset, nil
	}}
}

func fetch(t *testing.T, into *memory, sources ...release.Source) error {
	t.Helper()
	return release.Download{Name: name, Artifact: artifact(), Sources: sources}.Fetch(t.Context(), into)
}

func wantWhole(t *testing.T, into *memory, err error) {
	t.Helper()
	if err != nil || !bytes.Equal(into.content, program) {
		t.Errorf("it has %d bytes that are right: %v, and says %v", len(into.content), bytes.Equal(into.content, program), err)
	}
}

func TestDownload_Fetch(t *testing.T) {
	t.Run("Whole", func(t *testing.T) {
		into, source := &memory{}, good("first")
		wantWhole(t, into, fetch(t, into, source))
		if into.writes != len(program) || len(source.asked) != 1 {
			t.Errorf("%d bytes written for %d, asked %q", into.writes, len(program), source.asked)
		}
	})
	t.Run("GoesOn", func(t *testing.T) {
		into, source := &memory{content: bytes.Clone(program[:2*edge.PieceSize])}, good("first")
		into.content[5] ^= 1 // the first piece is damaged, the second whole
		if got, want := release.Missing(artifact(), into), int64(edge.PieceSize+edge.PieceSize/2); got != want {
			t.Errorf("%d bytes are missing, want %d", got, want)
		}
		wantWhole(t, into, fetch(t, into, source))
		if want := []string{name + " from 0", fmt.Sprintf("%s from %d", name, 2*edge.PieceSize)}; fmt.Sprint(source.asked) != fmt.Sprint(want) {
			t.Errorf("asked %q, want %q", source.asked, want)
		}
		if into.writes != edge.PieceSize+edge.PieceSize/2 {
			t.Errorf("%d bytes were written", into.writes)
		}
	})
	t.Run("SamePieces", func(t *testing.T) {
		same := make([]byte, 3*edge.PieceSize)
		a := edge.Artifact{Size: int64(len(same)), Digest: digest(same)}
		for range 3 {
			a.Pieces = append(a.Pieces, digest(same[:edge.PieceSize]))
		}
		into := &memory{content: make([]byte, edge.PieceSize)}
		if got := release.Missing(a, into); got != 2*edge.PieceSize {
			t.Errorf("%d bytes are missing, want the last two pieces", got)
		}
		if err := (release.Download{Name: name, Artifact: a, Sources: []release.Source{sending("first", same)}}).Fetch(t.Context(), into); err != nil || len(into.content) != len(same) {
			t.Errorf("it has %d bytes, and says %v", len(into.content), err)
		}
	})
	t.Run("NothingMissing", func(t *testing.T) {
		into, source := &memory{content: append(bytes.Clone(program), "and more of what was there before"...)}, good("first")
		wantWhole(t, into, fetch(t, into, source))
		if into.writes != 0 || source.asked != nil {
			t.Errorf("%d bytes written, asked %q", into.writes, source.asked)
		}
	})
	t.Run("NoRanges", func(t *testing.T) {
		whole := &server{name: "simple", open: func(context.Context, int64) (io.ReadCloser, int64, error) { return body(program), 0, nil }}
		into := &memory{content: bytes.Clone(program[:edge.PieceSize])}
		wantWhole(t, into, fetch(t, into, whole))
	})
	t.Run("OtherWhole", func(t *testing.T) {
		a := artifact()
		a.Digest = digest([]byte("another program"))
		err := release.Download{Name: name, Artifact: a, Sources: []release.Source{good("first")}}.Fetch(t.Context(), &memory{})
		if !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("got %v, want edge.ErrInvalid", err)
		}
	})
	t.Run("DiskFull", func(t *testing.T) {
		source, second := good("first"), good("second")
		err := fetch(t, &memory{full: true}, source, second)
		if !errors.Is(err, unix.ENOSPC) || len(source.asked) != 1 || second.asked != nil {
			t.Errorf("got %v after asking %q and %q; no other source has more room", err, source.asked, second.asked)
		}
	})
	t.Run("Withdrawn", func(t *testing.T) {
		withdrawn := errors.New("withdrawn")
		ctx, cancel := context.WithCancelCause(t.Context())
		into := &memory{}
		err := release.Download{Name: name, Artifact: artifact(), Sources: []release.Source{good("first")}, Told: func(done, _ int64) {
			if done > 0 {
				cancel(withdrawn)
			}
		}, Rate: func() int64 { return 1 << 30 }}.Fetch(ctx, into)
		if !errors.Is(err, withdrawn) || into.writes != edge.PieceSize {
			t.Errorf("got %v after %d bytes, want it withdrawn after a piece", err, into.writes)
		}
	})
}

// TestDownload_Hostile has a first source do harm, and a second that is honest.
func TestDownload_Hostile(t *testing.T) {
	garbage := bytes.Repeat([]byte("x"), len(program))
	flawed := bytes.Clone(program)
	flawed[edge.PieceSize+7] ^= 1
	for _, c := range []struct {
		name   string
		source *server
		want   string // of what is told of it
		asked  int
		longer time.Duration
	}{
		{name: "Garbage", source: sending("bad", garbage), want: "has the digest", asked: 2},
		{name: "OneBadPiece", source: sending("bad", flawed), want: "has the digest", asked: 2},
		{name: "TooShort", source: sending("bad", program[:edge.PieceSize/2]), want: "ends after", asked: 2},
		{name: "Empty", source: sending("bad", nil), want: "ends after 0 bytes", asked: 2},
		{name: "Refuses", source: &server{name: "bad", open: func(context.Context, int64) (io.ReadCloser, int64, error) {
			return nil, 0, edge.ErrUnavailable
		}}, want: "unavailable", asked: 2},
		{name: "Silent", source: dripping(time.Hour), want: "sends nothing for 30s", asked: 2, longer: 2 * time.Minute},
		{name: "Trickling", source: dripping(time.Second), want: "does not send a piece within 10m", asked: 2, longer: 21 * time.Minute},
		{name: "Endless", source: &server{name: "bad", open: func(_ context.Context, offset int64) (io.ReadCloser, int64, error) {
			return io.NopCloser(endless{}), offset, nil
		}}, want: "has the digest", asked: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				into, second := &memory{}, good("second")
				var told []string
				err := release.Download{
					Name: name, Artifact: artifact(), Sources: []release.Source{c.source, second},
					Amiss: func(source string, err error) { told = append(told, source+": "+err.Error()) },
				}.Fetch(t.Context(), into)
				wantWhole(t, into, err)
				if into.writes != len(program) {
					t.Errorf("%d bytes written for %d", into.writes, len(program))
				}
				if len(told) != 2 || !strings.Contains(told[0], c.want) {
					t.Errorf("told %q, want twice %q", told, c.want)
				}
				if got := len(c.source.asked); got != c.asked {
					t.Errorf("asked it %d times, want %d", got, c.asked)
				}
				if took := time.Since(begun); took > c.longer {
					t.Errorf("it cost %v, want at most %v", took, c.longer)
				}
			})
		})
	}
	t.Run("AllOfThem", func(t *testing.T) {
		into := &memory{}
		err := fetch(t, into, sending("one", garbage), sending("two", nil))
		if !errors.Is(err, edge.ErrUnavailable) || !strings.Contains(err.Error(), "one: piece 0") || !strings.Contains(err.Error(), "two: piece 0") {
			t.Errorf("got %v, want both named", err)
		}
		if into.writes > 0 {
			t.Errorf("%d bytes of it were written", into.writes)
		}
	})
}

type endless struct{}

func (endless) Read(into []byte) (int, error) { return len(into), nil }

func TestDownload_Rate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, rate := time.Now(), int64(16<<10)
		into := &memory{}
		err := release.Download{
			Name: name, Artifact: artifact(), Sources: []release.Source{good("first")}, Rate: func() int64 { return rate },
		}.Fetch(t.Context(), into)
		wantWhole(t, into, err)
		want := time.Duration(len(program)) * time.Second / time.Duration(rate)
		if took := time.Since(begun); took < want || took > want+time.Second {
			t.Errorf("it took %v, want %v", took, want)
		}
	})
}

// TestWeb holds what a web server may answer against what comes of it.
func TestWeb(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(program) }))
	defer elsewhere.Close()
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		have   int    // bytes that are there already
		want   string // empty: it comes whole
	}{
		{name: "Ranges", have: edge.PieceSize, answer: func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(program))
		}},
		{name: "NoRanges", have: edge.PieceSize, answer: func(w http.ResponseWriter, _ *http.Request) { w.Write(program) }},
		{name: "WithinTheServer", answer: func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasPrefix(r.URL.Path, "/moved") {
				http.Redirect(w, r, "/moved/"+name, http.StatusFound)
				return
			}
			w.Write(program)
		}},
		{name: "Elsewhere", want: "leads elsewhere", answer: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		}},
		{name: "InCircles", want: "redirects more than", answer: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}},
		{name: "WrongLength", want: "sends 12 bytes", answer: func(w http.ResponseWriter, _ *http.Request) { w.Write(program[:12]) }},
		{name: "OtherRange", have: edge.PieceSize, want: "sends \"bytes 0-9/10\"", answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-9/10")
			w.WriteHeader(http.StatusPartialContent)
		}},
		{name: "Packed", want: "gzip", answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(program)
		}},
		{name: "NotThere", want: "not found", answer: http.NotFound},
		{name: "Broken", want: "status 503", answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }},
		{name: "CutOff", want: "ends after", answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(program)))
			w.Write(program[:100])
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(c.answer)
			defer server.Close()
			client := release.NewClient(time.Now)
			defer client.CloseIdleConnections()
			into := &memory{content: bytes.Clone(program[:c.have])}
			err := fetch(t, into, release.Web(server.URL+"/", client))
			if c.want == "" {
				wantWhole(t, into, err)
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || into.writes > 0 {
				t.Errorf("wrote %d bytes and says %v, want %q", into.writes, err, c.want)
			}
		})
	}
}

// envelope is a document in an envelope that nobody looks into further.
func envelope(t *testing.T, payload string) []byte {
	t.Helper()
	key, err := trust.GenerateKey(rand.New(rand.NewSource(2)))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := trust.Sign(trust.TypeRelease, []byte(payload), key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestFind(t *testing.T) {
	wanted, other := envelope(t, `{"version":"2"}`), envelope(t, `{"version":"1"}`)
	at := digest([]byte(`{"version":"2"}`))
	find := func(digest string, sources ...release.Source) ([]byte, error) {
		return release.Find(t.Context(), sources, digest)
	}
	t.Run("OfTheNext", func(t *testing.T) {
		got, err := find(at, sending("old", other), sending("junk", []byte("<html>")), sending("new", wanted))
		if err != nil || !bytes.Equal(got, wanted) {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("Any", func(t *testing.T) {
		if got, err := find("", sending("old", other)); err != nil || !bytes.Equal(got, other) {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("Nowhere", func(t *testing.T) {
		_, err := find(at, sending("old", other), &server{name: "endless", open: func(context.Context, int64) (io.ReadCloser, int64, error) {
			return io.NopCloser(endless{}), 0, nil
		}})
		if !errors.Is(err, edge.ErrUnavailable) || !strings.Contains(err.Error(), "another release lies there") || !strings.Contains(err.Error(), "more than") {
			t.Errorf("got %v", err)
		}
	})
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), program, 0o644); err != nil {
		t.Fatal(err)
	}
	into := &memory{}
	wantWhole(t, into, fetch(t, into, release.Folder(dir)))
	pipe := filepath.Join(dir, edge.ReleaseFile)
	if err := unix.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := release.Find(t.Context(), []release.Source{release.Folder(dir)}, "")
	if err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a pipe gives %v", err)
	}
	if err := os.Truncate(filepath.Join(dir, name), 100); err != nil {
		t.Fatal(err)
	}
	if err := fetch(t, &memory{}, release.Folder(dir)); err == nil || !strings.Contains(err.Error(), "has 100 bytes") {
		t.Errorf("a file that was cut gives %v", err)
	}
}
