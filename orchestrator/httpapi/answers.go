package httpapi

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// Where answers are kept. The expiry keys are the hour of expiry and the
// record's id, so that the old ones are found without reading any answer.
const (
	recordPrefix = "idempotency/answers/"
	expiryPrefix = "idempotency/expiry/"
	expiryHour   = "2006-01-02T15"
)

func recordKey(id string) string { return recordPrefix + id }
func lockName(id string) string  { return "idempotency/" + id }

func expiryKey(id string, began time.Time) string {
	return expiryPrefix + began.Add(answerLife+time.Hour).UTC().Format(expiryHour) + "/" + id
}

// Limits of a kept body, in bytes. Beyond the first it is compressed; what is
// beyond the second even so is not kept, and a repetition reads the resource.
const (
	plainBody  = 64 << 10
	packedBody = 512 << 10
)

// record is what an Idempotency-Key stands for.
type record struct {
	// Digest of path and body.
	Digest string `json:"digest"`
	// UUID for what the call makes.
	UUID  string    `json:"uuid"`
	Began time.Time `json:"began"`
	// Status is 0 while there is no answer to repeat.
	Status int               `json:"status,omitempty"`
	Header map[string]string `json:"header,omitempty"`
	Body   []byte            `json:"body,omitempty"`
	Packed bool              `json:"packed,omitempty"` // Body is gzip
}

// begin is the record of a key, made now if there is none that still counts.
func (a *API) begin(ctx context.Context, id, digest string) (*record, error) {
	p, now := a.store.Private(), a.now()
	r, err := a.recordOf(ctx, id)
	if err != nil {
		return nil, err
	}
	if r != nil && now.Before(r.Began.Add(answerLife)) {
		if r.Digest != digest {
			return nil, v1.Refused("idempotency-key-reused", "this Idempotency-Key was used for another request; use a new key for each")
		}
		return r, nil
	}
	if err := a.mayKeep(callerOf(ctx), now); err != nil {
		return nil, err
	}
	r = &record{Digest: digest, UUID: model.NewUUID(), Began: now}
	// First the mark: a record without one would stay for ever.
	if err = p.Put(ctx, expiryKey(id, now), nil); err == nil {
		err = p.Put(ctx, recordKey(id), r.encode())
	}
	if v1.Code(err) != "" {
		return nil, err
	}
	if err != nil {
		return nil, v1.Unavailable("store-unavailable", "the Idempotency-Key cannot be noted; retry").Because(err)
	}
	return r, nil
}

// keyRate is how many new keys an account may use, or a token that has none: each
// is kept for a day, also that of a call that was refused, and the store is
// everybody's. Beyond the burst, as many as expire.
var keyRate = Rate{PerSecond: 50_000 / answerLife.Seconds(), Burst: 50_000}

// mayKeep refuses a new key of those who have too many. Root on the unix socket
// may have any number.
func (a *API) mayKeep(who *Caller, now time.Time) error {
	if who.token == nil {
		return nil
	}
	wait := a.newKeys.take(cmp.Or(who.Account, who.ID), now)
	if wait == 0 {
		return nil
	}
	e := v1.Errorf(http.StatusTooManyRequests, "too-many-idempotency-keys", "%d new Idempotency-Keys were used within %s, and answers to no more are kept: make calls without one, or later", a.newKeys.rate.Burst, answerLife)
	e.RetryAfter = int(math.Ceil(wait.Seconds()))
	return e
}

// recordOf is the record of a key, or nil.
func (a *API) recordOf(ctx context.Context, id string) (*record, error) {
	b, found, err := a.store.Private().Get(ctx, recordKey(id))
	if err != nil {
		return nil, v1.Unavailable("store-unavailable", "the Idempotency-Key cannot be looked up; retry").Because(err)
	}
	if !found {
		return nil, nil
	}
	r := &record{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("decode answer kept: %w", err)
	}
	return r, nil
}

func (r *record) encode() []byte {
	b, _ := json.Marshal(r) // texts, numbers and bytes
	return b
}

// keptHeaders are those of an answer that say something about it.
var keptHeaders = []string{"Content-Type", "Etag", "Location"}

func (r *record) answer(status int, header http.Header, body []byte) {
	packed := false
	if len(body) > plainBody {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(body) // to memory
		_ = z.Close()
		body, packed = b.Bytes(), true
	}
	if len(body) > packedBody {
		return
	}
	r.Status, r.Body, r.Packed, r.Header = status, body, packed, map[string]string{}
	for _, name := range keptHeaders {
		if v := header.Get(name); v != "" {
			r.Header[name] = v
		}
	}
}

// replay answers as the first call was answered.
func (r *record) replay(c *gin.Context) error {
	body := r.Body
	if r.Packed {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err == nil {
			body, err = io.ReadAll(z)
		}
		if err != nil {
			return fmt.Errorf("unpack answer kept: %w", err)
		}
	}
	for name, value := range r.Header {
		c.Header(name, value)
	}
	c.Header("Idempotency-Replayed", "true")
	c.Status(r.Status)
	c.Writer.WriteHeaderNow()
	_, _ = c.Writer.Write(body) // the caller may have gone
	c.Abort()
	return nil
}

// forgetAnswers deletes what has expired, and tokens that nobody can use, at once and then hourly, until the
// context ends.
func (a *API) forgetAnswers(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if err := errors.Join(a.forgetExpired(ctx), a.forgetTokens(ctx)); err != nil && ctx.Err() == nil {
			a.log.Warn("expired answers or tokens not deleted, trying again in an hour", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (a *API) forgetExpired(ctx context.Context) error {
	marks, err := a.store.Private().Keys(ctx, expiryPrefix, expiryPrefix+a.now().UTC().Format(expiryHour))
	if err != nil {
		return err
	}
	var errs []error
	for _, mark := range marks {
		errs = append(errs, a.forget(ctx, mark))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// forget deletes a record and its mark. A key that was used again since has a
// newer record, with a mark of its own.
func (a *API) forget(ctx context.Context, mark string) error {
	id := mark[strings.LastIndexByte(mark, '/')+1:]
	unlock, err := a.lockKey(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := a.recordOf(ctx, id)
	if err != nil {
		return err
	}
	if r != nil && !a.now().Before(r.Began.Add(answerLife)) {
		if err := a.store.Private().Delete(ctx, recordKey(id)); err != nil {
			return err
		}
	}
	return a.store.Private().Delete(ctx, mark)
}
