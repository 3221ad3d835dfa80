package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxDepth is how deep objects and arrays of a body may nest.
const maxDepth = 32

// unmarshalStrict refuses what encoding/json lets pass and people then argue
// about: keys given twice, deep nesting, broken UTF-8. Unknown fields and wrong
// types are refused by the schema. Huma decodes a body twice, first into an
// any to validate it; checking it then is enough.
func unmarshalStrict(data []byte, v any) error {
	if _, first := v.(*any); first {
		if err := checkStrict(data); err != nil {
			return err
		}
	}
	return json.Unmarshal(data, v)
}

// level is an object or array that is open. For an object, keys are those seen
// and the next string is a key if wantKey.
type level struct {
	keys    map[string]bool
	wantKey bool
}

func checkStrict(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("the body is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var open []*level
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if open, err = advance(open, token); err != nil {
			return err
		}
	}
}

func advance(open []*level, token json.Token) ([]*level, error) {
	if token == json.Delim('}') || token == json.Delim(']') {
		return open[:len(open)-1], nil
	}
	if len(open) > 0 {
		if top := open[len(open)-1]; top.keys != nil {
			isKey := top.wantKey
			top.wantKey = !isKey
			if isKey {
				return open, top.add(token.(string))
			}
		}
	}
	switch token {
	case json.Delim('{'):
		open = append(open, &level{keys: map[string]bool{}, wantKey: true})
	case json.Delim('['):
		open = append(open, &level{})
	}
	if len(open) > maxDepth {
		return nil, fmt.Errorf("the body nests deeper than %d", maxDepth)
	}
	return open, nil
}

func (l *level) add(key string) error {
	if l.keys[key] {
		return fmt.Errorf("the key %q is given twice", shorten(key))
	}
	l.keys[key] = true
	return nil
}
