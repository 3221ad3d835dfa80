package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

const (
	// answerLife is how long a key stands for its answer.
	answerLife = 24 * time.Hour
	// keepTimeout bounds the write of an answer after the call is done.
	keepTimeout = 10 * time.Second
)

// idempotent makes a POST with an Idempotency-Key happen once: the same
// request again gets the answer of the first. The key is taken, with a UUID
// for what is to be made, before anything is done; an attempt that ended in
// between, with the process or in a 503, is therefore found by the next one,
// which goes on with what it made. Calls that make nothing, such as actions,
// are in that case done again.
func (a *API) idempotent(c *gin.Context) {
	key, given := c.Request.Header["Idempotency-Key"]
	if c.Request.Method != http.MethodPost || !given || c.FullPath() == "" || isDryRun(c) {
		return
	}
	switch groupOf(routeOf(c.Request.Method, c.FullPath())) {
	case "tokens":
		refuse(c, v1.Invalid("no-idempotency-key", "a token is made without an Idempotency-Key: its answer has a secret, which is not kept; list tokens if you do not know whether it was made"))
		return
	case "backup":
		refuse(c, v1.Invalid("no-idempotency-key", "a backup is made without an Idempotency-Key: its answer is all secrets, and is not kept; make another one"))
		return
	}
	if len(key) != 1 || !validKey(key[0]) {
		refuse(c, v1.Invalid("invalid-idempotency-key", "Idempotency-Key has to be 1 to 255 printable ASCII characters, given once; a random UUID does"))
		return
	}
	body, err := takeBody(c)
	if err != nil { // too long or broken off; huma finds out and says so
		return
	}
	if err := a.once(c, key[0], body); err != nil {
		refuse(c, (*v1.Error)(a.problem(c.Request.Context(), err)))
	}
}

// idempotencyParam describes the header; idempotent reads it.
func idempotencyParam() *huma.Param {
	longest := 255
	return &huma.Param{
		Name: "Idempotency-Key", In: "header", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: &longest},
		Description: "Makes the call happen once: the same key with the same request within 24 hours gets the same answer",
	}
}

// once has the call done, or repeats its answer, under the lock of the key.
func (a *API) once(c *gin.Context, key string, body []byte) error {
	ctx := c.Request.Context()
	id := recordID(callerOf(ctx), key)
	unlock, err := a.lockKey(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := a.begin(ctx, id, digest(c.Request.URL.Path, body))
	if err != nil {
		return err
	}
	if r.Status != 0 {
		return r.replay(c)
	}
	c.Request = c.Request.WithContext(context.WithValue(ctx, chosenKey{}, r.UUID))
	return a.perform(c, id, r)
}

// lockKey excludes the other calls with the key, in every orchestrator.
func (a *API) lockKey(ctx context.Context, id string) (unlock func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, a.answerPatience)
	defer cancel()
	lock, err := a.store.Lock(waiting, lockName(id))
	switch {
	case err == nil:
		return lock.Unlock, nil
	case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		return nil, v1.Conflict("idempotency-in-progress", "another call with this Idempotency-Key is still running; repeat it later for its answer")
	case v1.Code(err) == "" && ctx.Err() == nil:
		return nil, v1.Unavailable("store-unavailable", "the Idempotency-Key cannot be locked; retry").Because(err)
	}
	return nil, err
}

// perform runs the call and keeps its answer before the caller gets it.
func (a *API) perform(c *gin.Context, id string, r *record) error {
	held := &heldBack{ResponseWriter: c.Writer}
	c.Writer = held
	defer func() { c.Writer = held.ResponseWriter }() // also for the answer to a panic
	c.Next()
	c.Writer = held.ResponseWriter
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request.Context()), keepTimeout)
	defer cancel()
	if err := a.keep(ctx, id, r, held); err != nil {
		// The answer stands; a repetition finds what was made by its UUID.
		a.log.Warn("answer not kept for its Idempotency-Key", "request", requestID(ctx), "err", err)
	}
	c.Writer.WriteHeaderNow()
	_, _ = c.Writer.Write(held.body.Bytes()) // the caller may have gone
	return nil
}

// keep decides what of an answer stays: successes and the model's refusals.
// After a malformed request the key is free again; after anything else it
// stays taken, and the next call with it tries again.
func (a *API) keep(ctx context.Context, id string, r *record, held *heldBack) error {
	switch status := held.Status(); {
	case status == http.StatusBadRequest:
		return a.store.Private().Delete(ctx, recordKey(id))
	case status >= 200 && status < 300, final[status]:
		r.answer(status, held.Header(), held.body.Bytes())
		return a.store.Private().Put(ctx, recordKey(id), r.encode())
	}
	return nil
}

// final refusals are the model's word on the request.
var final = map[int]bool{
	http.StatusNotFound: true, http.StatusConflict: true, http.StatusPreconditionFailed: true, http.StatusUnprocessableEntity: true,
}

func isDryRun(c *gin.Context) bool {
	dry, err := strconv.ParseBool(c.Query("dryRun"))
	return err == nil && dry
}

func validKey(key string) bool {
	for _, b := range []byte(key) {
		if b < 0x20 || b > 0x7e {
			return false
		}
	}
	return len(key) >= 1 && len(key) <= 255
}

// recordID keeps the keys of callers apart, and the callers' text out of the
// store's keys.
func recordID(who *Caller, key string) string {
	sum := sha256.Sum256([]byte(who.ID + "\x00" + key))
	return hex.EncodeToString(sum[:])
}

func digest(path string, body []byte) string {
	h := sha256.New()
	h.Write([]byte(path + "\x00"))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

type chosenKey struct{}

// chosenUUID is the UUID for what a call under an Idempotency-Key makes; empty
// without a key.
func chosenUUID(ctx context.Context) string {
	uuid, _ := ctx.Value(chosenKey{}).(string)
	return uuid
}

// chooseUUID puts it into a request that makes something and does not say a
// UUID itself.
func chooseUUID(ctx context.Context, in any) {
	chosen := chosenUUID(ctx)
	if chosen == "" {
		return
	}
	body := reflect.ValueOf(in).Elem().FieldByName("Body")
	if !body.IsValid() || body.Kind() != reflect.Struct {
		return
	}
	meta := body.FieldByName("CreateMeta")
	if !meta.IsValid() {
		return
	}
	if m, ok := meta.Addr().Interface().(*v1.CreateMeta); ok && m.UUID == "" {
		m.UUID = chosen
	}
}

// failing is a reader that has nothing but an error.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// heldBack collects an answer's body.
type heldBack struct {
	gin.ResponseWriter
	body bytes.Buffer
}

func (h *heldBack) Write(p []byte) (int, error)       { return h.body.Write(p) }
func (h *heldBack) WriteString(s string) (int, error) { return h.body.WriteString(s) }
func (h *heldBack) WriteHeaderNow()                   {}
func (h *heldBack) Flush()                            {}
func (h *heldBack) Written() bool                     { return h.body.Len() > 0 }
func (h *heldBack) Size() int                         { return h.body.Len() }

// Unwrap lets deadlines through.
func (h *heldBack) Unwrap() http.ResponseWriter { return h.ResponseWriter }
