package agent

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

const (
	// MaxSpecBytes bounds a spec after decompression. 10,000 EIPs are some
	// 2.5 MB; a small router has about 100 MB free, of which decoding takes a
	// few times the size.
	MaxSpecBytes = 24 << 20
	// maxSmallBytes bounds every other body.
	maxSmallBytes = 64 << 10
)

// readBody reads a body of at most limit bytes, decompressed where it is gzip.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	var body io.Reader = http.MaxBytesReader(w, r.Body, limit)
	if isGzip(r) {
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, refused(agentv1.CodeInvalidRequest, "", "body is not gzip: %v", err)
		}
		body = z
	} else if enc := r.Header.Get("Content-Encoding"); enc != "" {
		return nil, refused(agentv1.CodeInvalidRequest, "", "content encoding %q is unknown; use gzip or none", enc)
	}
	raw, err := io.ReadAll(io.LimitReader(body, limit+1))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) || int64(len(raw)) > limit {
		return nil, refused(agentv1.CodeInvalidRequest, "", "body is larger than %d bytes", limit)
	}
	if err != nil {
		return nil, refused(agentv1.CodeInvalidRequest, "", "read body: %v", err)
	}
	return raw, nil
}

func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	raw, err := readBody(w, r, maxSmallBytes)
	if err != nil {
		return err
	}
	if len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return refused(agentv1.CodeInvalidRequest, "", "parse body: %v", err)
	}
	return nil
}
