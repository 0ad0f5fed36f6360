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
	resp, err := p.registry.manifest(ctx, desc.Digest.String())
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
		return nil, fmt.Errorf("manifest %s: %w: %w", desc.Digest, errTooMuch, edge.ErrInvalid)
	case digest.FromBytes(text) != desc.Digest:
		return nil, fmt.Errorf("manifest %s is not what its name says: %w", desc.Digest, edge.ErrInvalid)
	}
	desc.Size = int64(len(text))
	if desc.MediaType, err = documentType(text); err != nil {
		return nil, err
	}
	// Every child is looked for in the registry, and nowhere else.
	ref := "manifest-" + desc.Digest.String()
	plain := ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
	return text, content.WriteBlob(ctx, p.client.ContentStore(), ref, bytes.NewReader(text), plain)
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
// it is there. The daemon holds it against its digest. tell hears of what comes.
func (p *pulling) blob(ctx context.Context, desc ocispec.Descriptor, tell func(int64)) error {
	if err := checkDigest(desc.Digest); err != nil {
		return err
	}
	if desc.Size <= 0 {
		return fmt.Errorf("it says that blob %s has %d bytes: %w", desc.Digest, desc.Size, edge.ErrInvalid)
	}
	plain := ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
	writer, err := content.OpenWriter(ctx, p.client.ContentStore(), content.WithRef("blob-"+desc.Digest.String()), content.WithDescriptor(plain))
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot store blob %s: %w", desc.Digest, native(err))
	}
	defer writer.Close()
	if err := p.fill(ctx, writer, plain, tell); err != nil {
		return err
	}
	err = writer.Commit(ctx, desc.Size, desc.Digest)
	switch {
	case err == nil, errdefs.IsAlreadyExists(err):
		return nil
	case errdefs.IsFailedPrecondition(err):
		return fmt.Errorf("blob %s is not what its name says: %w", desc.Digest, edge.ErrInvalid)
	}
	return fmt.Errorf("cannot store blob %s: %w", desc.Digest, native(err))
}

// fill copies what is missing of a blob.
func (p *pulling) fill(ctx context.Context, writer content.Writer, desc ocispec.Descriptor, tell func(int64)) error {
	status, err := writer.Status()
	if err != nil {
		return fmt.Errorf("cannot store blob %s: %w", desc.Digest, native(err))
	}
	if status.Offset >= desc.Size {
		return nil // all but the end of the last pull
	}
	body, from, err := p.registry.blob(ctx, desc.Digest.String(), status.Offset)
	if err != nil {
		return err
	}
	defer body.Close()
	if from != status.Offset {
		if err := writer.Truncate(0); err != nil {
			return fmt.Errorf("cannot store blob %s: %w", desc.Digest, native(err))
		}
	}
	tell(from)
	left := desc.Size - from
	source := &toldReader{source: io.LimitReader(body, left+1), tell: func(n int64) {
		p.fetched += n
		tell(n)
	}}
	n, err := io.Copy(writer, source)
	switch {
	case err != nil && source.failed == nil:
		return fmt.Errorf("cannot store blob %s: %w", desc.Digest, native(err))
	case err != nil:
		return fmt.Errorf("blob %s broke off: %w", desc.Digest, err)
	case n < left:
		return fmt.Errorf("blob %s broke off after %d of %d bytes: %w", desc.Digest, from+n, desc.Size, io.ErrUnexpectedEOF)
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
