package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// The content's hash is the content's, however it was written, and whatever
// hash came with it.
func TestContentHash(t *testing.T) {
	c := agentv1.Content{Hostname: `odd "content":`}
	content, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var spaced bytes.Buffer
	if err := json.Indent(&spaced, content, "", " "); err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{
		"as agents get it": fmt.Sprintf(`{"version":1,"hash":%q,"content":%s}`, c.Hash(), content),
		"space at the end": fmt.Sprintf(`{"version":1,"hash":%q,"content":%s} `+"\n", c.Hash(), content),
		"content first":    fmt.Sprintf(`{"content":%s,"hash":%q}`, content, c.Hash()),
		"spaced":           fmt.Sprintf(`{"hash":%q,"content" : %s}`, c.Hash(), spaced.Bytes()),
		"another hash":     fmt.Sprintf(`{"hash":"00","content":%s}`, content),
		"no hash":          fmt.Sprintf(`{"content":%s}`, content),
		"unknown field":    fmt.Sprintf(`{"hash":%q,"later":1,"content":%s}`, c.Hash(), content),
	} {
		if in, err := Decode([]byte(raw)); err != nil || in.ContentHash != c.Hash() {
			t.Errorf("%s: hash %s, %v; want %s", name, in.ContentHash, err, c.Hash())
		}
	}
	other := fmt.Sprintf(`{"version":1,"hash":%q,"content":{"hostname":"b","interfaces":null}}`, c.Hash())
	if in, err := Decode([]byte(other)); err != nil || in.ContentHash == c.Hash() {
		t.Errorf("other content passed for it: %v", err)
	}
}
