package containerd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"holdfast/edge"
)

// document fetches an index or manifest, unless it is there, and fills in its type and
// size.
func (p *pulling) document(ctx context.Context, desc *ocispec.Descriptor) ([]byte, error) {
	if err := checkDigest(desc.Digest); err != nil {
		return nil, err
	}
	text, err := p.heldDocument(ctx, desc.Digest)
	if text == nil && err == nil {
		text, err = p.askDocument(ctx, desc.Digest)
	}
	if err != nil {
		return nil, err
	}
	desc.Size = int64(len(text))
	if desc.MediaType, err = documentType(text); err != nil {
		return nil, err
	}
	// Every child is looked for in the registry, and nowhere else. What was there is held
	// by the pull's lease from now on.
	ref := "manifest-" + desc.Digest.String()
	plain := ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
	return text, content.WriteBlob(ctx, p.client.ContentStore(), ref, bytes.NewReader(text), plain)
}

// heldDocument reads a document that an earlier try has fetched; nil: none has.
func (p *pulling) heldDocument(ctx context.Context, sum digest.Digest) ([]byte, error) {
	store := p.client.ContentStore()
	info, err := store.Info(ctx, sum)
	if err != nil || info.Size > maxDocument {
		return nil, unlessGone(native(err))
	}
	text, err := content.ReadBlob(ctx, store, ocispec.Descriptor{Digest: sum, Size: info.Size})
	if err != nil || digest.FromBytes(text) != sum {
		return nil, nil // lost or damaged, so it is asked for
	}
	return text, nil
}

func (p *pulling) askDocument(ctx context.Context, sum digest.Digest) ([]byte, error) {
	resp, err := p.registry.manifest(ctx, sum.String())
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	p.fetched += int64(len(text))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxDocument:
		return nil, fmt.Errorf("manifest %s: %w: %w", sum, errTooMuch, edge.ErrInvalid)
	case digest.FromBytes(text) != sum:
		return nil, fmt.Errorf("manifest %s is not what its name says: %w", sum, edge.ErrInvalid)
	}
	return text, nil
}

// documentType is what a document calls itself, which its digest vouches for. One that
// does not is told by what it holds.
func documentType(text []byte) (string, error) {
	var form struct {
		MediaType string          `json:"mediaType"`
		Manifests json.RawMessage `json:"manifests"`
		Config    json.RawMessage `json:"config"`
	}
	if err := json.Unmarshal(text, &form); err != nil {
		return "", fmt.Errorf("its manifest is no JSON document: %w: %w", err, edge.ErrInvalid)
	}
	switch {
	case images.IsIndexType(form.MediaType) && form.Config == nil, images.IsManifestType(form.MediaType) && form.Manifests == nil:
		return form.MediaType, nil
	case form.MediaType == "" && form.Manifests != nil && form.Config == nil:
		return ocispec.MediaTypeImageIndex, nil
	case form.MediaType == "" && form.Config != nil && form.Manifests == nil:
		return ocispec.MediaTypeImageManifest, nil
	}
	return "", fmt.Errorf("it is %.80q, which is not a container image: %w", form.MediaType, edge.ErrInvalid)
}

func decodeDocument(text []byte, desc ocispec.Descriptor, into any) error {
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("cannot decode manifest %s: %w: %w", desc.Digest, err, edge.ErrInvalid)
	}
	return nil
}

func checkDigest(sum digest.Digest) error {
	if sum.Validate() != nil || sum.Algorithm() != digest.Canonical {
		return fmt.Errorf("it names content by %.80q: %w", sum, edge.ErrInvalid)
	}
	return nil
}

// blob fetches one piece of content from where an earlier pull left off, unless all of
// it is there. The daemon holds it against its digest. Should what was left turn out to
// be wrong, as after a power cut or a lie, it is fetched once more from its start. tell
// hears of what comes.
func (p *pulling) blob(ctx context.Context, desc ocispec.Descriptor, tell func(int64)) error {
	if err := checkDigest(desc.Digest); err != nil {
		return err
	}
	if desc.Size <= 0 {
		return fmt.Errorf("it says that blob %s has %d bytes: %w", desc.Digest, desc.Size, edge.ErrInvalid)
	}
	plain := ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
	resumed, err := p.write(ctx, plain, tell)
	if !errors.Is(err, errOther) {
		return err
	}
	// What is wrong must not be gone on from, by this pull or another.
	if err := unlessGone(native(p.client.ContentStore().Abort(ctx, blobRef(desc.Digest)))); err != nil {
		return fmt.Errorf("cannot drop blob %s: %w", desc.Digest, err)
	}
	if resumed {
		_, err = p.write(ctx, plain, tell)
	}
	return err
}

// errOther: content came that is not what was asked for.
var errOther = fmt.Errorf("it is not what its name says: %w", edge.ErrInvalid)

func blobRef(sum digest.Digest) string { return "blob-" + sum.String() }

// write fetches what is missing of a blob and commits it. resumed tells that part of it
// came from an earlier try.
func (p *pulling) write(ctx context.Context, desc ocispec.Descriptor, tell func(int64)) (resumed bool, err error) {
	writer, err := content.OpenWriter(ctx, p.client.ContentStore(), content.WithRef(blobRef(desc.Digest)), content.WithDescriptor(desc))
	if errdefs.IsAlreadyExists(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot store blob %s: %w", desc.Digest, native(err))
	}
	defer writer.Close()
	offset, err := p.fill(ctx, writer, desc, tell)
	if err != nil {
		return offset > 0, err
	}
	err = writer.Commit(ctx, desc.Size, desc.Digest)
	switch {
	case err == nil, errdefs.IsAlreadyExists(err):
		return offset > 0, nil
	case errdefs.IsFailedPrecondition(err):
		return offset > 0, fmt.Errorf("blob %s: %w", desc.Digest, errOther)
	}
	return offset > 0, fmt.Errorf("cannot store blob %s: %w", desc.Digest, native(err))
}

// fill copies what is missing of a blob, and tells how much was there.
func (p *pulling) fill(ctx context.Context, writer content.Writer, desc ocispec.Descriptor, tell func(int64)) (offset int64, err error) {
	status, err := writer.Status()
	if err != nil {
		return 0, fmt.Errorf("cannot store blob %s: %w", desc.Digest, native(err))
	}
	offset = status.Offset
	if offset >= desc.Size {
		tell(desc.Size)
		return offset, nil // all but the end of the last pull
	}
	body, from, err := p.registry.blob(ctx, desc.Digest.String(), offset, desc.Size)
	if err != nil {
		return offset, err
	}
	defer body.Close()
	// A registry that goes on from nowhere sends again what is there. It is kept, so
	// that the try which breaks off earlier loses nothing.
	again, err := io.CopyN(io.Discard, body, offset-from)
	p.fetched += again
	if err != nil {
		return offset, fmt.Errorf("blob %s broke off: %w", desc.Digest, err)
	}
	tell(offset)
	return offset, p.append(writer, body, desc, offset, tell)
}

// append copies the rest of a blob.
func (p *pulling) append(writer io.Writer, body io.Reader, desc ocispec.Descriptor, offset int64, tell func(int64)) error {
	left := desc.Size - offset
	source := &toldReader{source: io.LimitReader(body, left+1), tell: func(n int64) {
		p.fetched += n
		p.gained += n
		tell(n)
	}}
	sink := &roomyReader{source: source, room: p.room}
	n, err := io.Copy(writer, sink)
	switch {
	case errors.Is(err, edge.ErrNoRoom):
		return err
	case err != nil && source.failed == nil:
		return fmt.Errorf("cannot store blob %s: %w", desc.Digest, roomless(native(err)))
	case err != nil:
		return fmt.Errorf("blob %s broke off: %w", desc.Digest, err)
	case n < left:
		return fmt.Errorf("blob %s broke off after %d of %d bytes: %w", desc.Digest, offset+n, desc.Size, io.ErrUnexpectedEOF)
	case n > left:
		return fmt.Errorf("blob %s: %w: %w", desc.Digest, errTooMuch, edge.ErrInvalid)
	}
	return nil
}

// toldReader tells of what is read, and keeps apart who failed.
type toldReader struct {
	source io.Reader
	tell   func(int64)
	failed error
}

func (r *toldReader) Read(p []byte) (int, error) {
	n, err := r.source.Read(p)
	if n > 0 {
		r.tell(int64(n))
	}
	if err != nil && !errors.Is(err, io.EOF) {
		r.failed = err
	}
	return n, err
}
