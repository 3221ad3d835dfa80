package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

const (
	// answersKept is how many commands' answers can be repeated. An answer is
	// a few kB, diagnostics some 100.
	answersKept = 64
	maxKeyBytes = 128
)

// answer is a command's result as it goes over the wire.
type answer struct {
	status int
	body   []byte
}

func answerOf(v any, err error) answer {
	status := http.StatusOK
	if err != nil {
		var r *RefusedError
		if !errors.As(err, &r) {
			r = &RefusedError{Problem: problem(agentv1.CodeInternal, "", "%v", err)}
		}
		status, v = httpStatus(r.Problem.Code), r.Problem
	}
	var b bytes.Buffer
	_ = json.NewEncoder(&b).Encode(v) // plain data
	return answer{status: status, body: b.Bytes()}
}

func (a answer) write(w http.ResponseWriter) {
	kind := "application/json"
	if a.status != http.StatusOK {
		kind = "application/problem+json"
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// answers remembers what was answered under an idempotency key.
type answers struct {
	keep int

	mu    sync.Mutex
	byKey map[string]*remembered
	order []string // oldest first
}

type remembered struct {
	request string
	ready   chan struct{} // closed when answer is there
	answer  answer
}

func newAnswers(keep int) *answers {
	return &answers{keep: keep, byKey: map[string]*remembered{}}
}

// once runs do for the first request under key and gives its answer to all
// others, also to those that come while it runs. Without a key it just runs
// do. The same key with another request is refused.
func (m *answers) once(ctx context.Context, key, request string, do func() answer) (answer, error) {
	if key == "" {
		return do(), nil
	}
	if len(key) > maxKeyBytes {
		return answer{}, refused(agentv1.CodeInvalidRequest, "", "idempotency key is longer than %d bytes", maxKeyBytes)
	}
	r, first := m.find(key, request)
	if r.request != request {
		return answer{}, refused(agentv1.CodeInvalidRequest, "", "idempotency key %q was used for another command; take a new one", key)
	}
	if first {
		defer close(r.ready) // also when do panics: the server goes on after that
		r.answer = answerOf(nil, errors.New("the command did not end"))
		r.answer = do()
		return r.answer, nil
	}
	select {
	case <-r.ready:
		return r.answer, nil
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
}

func (m *answers) find(key, request string) (r *remembered, first bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, ok := m.byKey[key]; ok {
		return r, false
	}
	r = &remembered{request: request, ready: make(chan struct{})}
	m.byKey[key] = r
	m.order = append(m.order, key)
	if len(m.order) > m.keep {
		delete(m.byKey, m.order[0])
		m.order = m.order[1:]
	}
	return r, true
}
