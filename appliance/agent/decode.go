package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// Incoming is a spec as it came in, whole or as a change of the one before.
type Incoming struct {
	// Spec has no Content before a change was found to fit.
	Spec agentv1.RouterSpec
	// Change is nil where the whole came; else BaseHash is what it is a change of.
	Change   *agentv1.Change
	BaseHash string
	// Raw is its JSON, unknown fields included.
	Raw json.RawMessage
	// Digest and ContentHash are those of the content that really came, or that
	// the change leads to from what was accepted.
	Digest      agentv1.Digest
	ContentHash string
	// Ignored lists fields that this agent does not know (JSON pointers).
	Ignored []string
}

// Decode parses a RouterSpec. Unknown fields are no error: they are optional by
// contract (a mandatory one comes with a higher version) and listed.
func Decode(raw []byte) (Incoming, error) {
	in := Incoming{Raw: raw}
	if err := decodeStrict(raw, &in.Spec); err == nil {
		in.hash(in.Spec.Content.Digest())
		return in, nil
	}
	in.Spec = agentv1.RouterSpec{} // whatever the first pass left
	if err := json.Unmarshal(raw, &in.Spec); err != nil {
		return Incoming{}, fmt.Errorf("parse spec: %w", err)
	}
	in.Ignored = unknownFields(raw, reflect.TypeFor[agentv1.RouterSpec]())
	d, err := digestAsSent(raw)
	if err != nil {
		return Incoming{}, fmt.Errorf("parse spec: %w", err)
	}
	in.hash(d)
	return in, nil
}

func (in *Incoming) hash(d agentv1.Digest) { in.Digest, in.ContentHash = d, d.String() }

// DecodeChange parses a SpecChange of a content with the digest.
func DecodeChange(raw []byte, base agentv1.Digest) (Incoming, error) {
	var c agentv1.SpecChange
	in := Incoming{Raw: raw, Change: &c.Change}
	if decodeStrict(raw, &c) != nil {
		c = agentv1.SpecChange{}
		if err := json.Unmarshal(raw, &c); err != nil {
			return Incoming{}, fmt.Errorf("parse change: %w", err)
		}
		in.Ignored = unknownFields(raw, reflect.TypeFor[agentv1.SpecChange]())
	}
	in.Spec = agentv1.RouterSpec{Version: c.Version, RouterUUID: c.RouterUUID, Generation: c.Generation, Hash: c.Hash, Fence: c.Fence}
	in.BaseHash = c.BaseHash
	in.hash(base.Changed(c.Change))
	return in, nil
}

// decodeStrict is the usual case in one pass: nothing unknown, nothing after.
func decodeStrict(raw []byte, into any) error {
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

// digestAsSent is the digest of the bytes that came. A newer sender's hash covers
// fields that Content.Hash here would drop, so it can only be checked against
// what was sent.
func digestAsSent(raw []byte) (agentv1.Digest, error) {
	var outer struct {
		Content json.RawMessage `json:"content"`
	}
	if err := json.Unmarshal(raw, &outer); err != nil {
		return agentv1.Digest{}, err
	}
	return agentv1.DigestJSON(outer.Content)
}
