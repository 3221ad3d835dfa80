package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strings"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Limits of what is recorded of a request, in bytes.
const (
	recordedBody = 8 << 10
	recordedText = 512
)

const redacted = "[redacted]"

// What has no place in a record: fields by their names, and what looks like a
// secret wherever it stands.
var (
	secretName = regexp.MustCompile(`(?i)(secret|passw|passphrase|private.?key|credential|api.?key|^token$|authorization)`)
	secretText = regexp.MustCompile(`sluice_[A-Za-z0-9_-]{43}|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)`)
	// secretUser is the password in a URI such as qemu+ssh://user:password@host.
	secretUser = regexp.MustCompile(`(://[^/?#@:\s]*):[^/?#@\s]*@`)
)

func withoutSecrets(text string) string {
	text = secretText.ReplaceAllLiteralString(text, redacted)
	return secretUser.ReplaceAllString(text, "$1:"+redacted+"@")
}

// recordable is a short text of a request as it may be recorded.
func recordable(text string) string {
	text = withoutSecrets(text)
	if len(text) > recordedText {
		text = text[:recordedText] + " ..."
	}
	return strings.ToValidUTF8(text, "?")
}

// auditBody is a body as it may be recorded; nil if there is none.
func auditBody(body []byte) *v1.AuditBody {
	if len(body) == 0 {
		return nil
	}
	sum := sha256.Sum256(body)
	b := &v1.AuditBody{Size: len(body), SHA256: hex.EncodeToString(sum[:])}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var content any
	if dec.Decode(&content) != nil {
		return b
	}
	text, err := json.Marshal(withoutSecretsIn(content))
	switch {
	case err != nil: // nothing that was decoded
	case len(text) > recordedBody:
		b.Content, b.Cut = strings.ToValidUTF8(string(text[:recordedBody]), ""), true
	default:
		b.Content = json.RawMessage(text)
	}
	return b
}

func withoutSecretsIn(v any) any {
	switch v := v.(type) {
	case string:
		return withoutSecrets(v)
	case []any:
		for i := range v {
			v[i] = withoutSecretsIn(v[i])
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			if secretName.MatchString(key) {
				value = redacted
			}
			out[withoutSecrets(key)] = withoutSecretsIn(value)
		}
		return out
	}
	return v
}
