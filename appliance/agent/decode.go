package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// Incoming is a spec as it came in.
type Incoming struct {
	Spec agentv1.RouterSpec
	// Raw is its JSON, unknown fields included.
	Raw json.RawMessage
	// ContentHash is the hash of the content that really came.
	ContentHash string
	// Ignored lists fields that this agent does not know (JSON pointers).
	Ignored []string
}

// Decode parses a RouterSpec. Unknown fields are no error: they are optional by
// contract (a mandatory one comes with a higher version) and listed.
func Decode(raw []byte) (Incoming, error) {
	in := Incoming{Raw: raw}
	if err := decodeStrict(raw, &in.Spec); err == nil {
		in.ContentHash = in.Spec.Content.Hash()
		return in, nil
	}
	in.Spec = agentv1.RouterSpec{} // whatever the first pass left
	if err := json.Unmarshal(raw, &in.Spec); err != nil {
		return Incoming{}, fmt.Errorf("parse spec: %w", err)
	}
	in.Ignored = unknownFields(raw, reflect.TypeFor[agentv1.RouterSpec]())
	hash, err := hashAsSent(raw)
	if err != nil {
		return Incoming{}, fmt.Errorf("parse spec: %w", err)
	}
	in.ContentHash = hash
	return in, nil
}

// decodeStrict is the usual case in one pass: nothing unknown, nothing after.
func decodeStrict(raw []byte, into *agentv1.RouterSpec) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if rest := bytes.TrimSpace(raw[dec.InputOffset():]); len(rest) > 0 {
		return fmt.Errorf("%d bytes after the spec", len(rest))
	}
	return nil
}

// hashAsSent is the hash by the bytes that came. A newer sender's hash covers
// fields that Content.Hash here would drop, so it can only be checked against
// what was sent.
func hashAsSent(raw []byte) (string, error) {
	var outer struct {
		Content json.RawMessage `json:"content"`
	}
	if err := json.Unmarshal(raw, &outer); err != nil {
		return "", err
	}
	d, err := agentv1.DigestJSON(outer.Content)
	return d.String(), err
}
