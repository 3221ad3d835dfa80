package httpapi

import (
	"context"
	"time"
)

// At makes it another time for what expires.
func (a *API) At(now time.Time) { a.now = func() time.Time { return now } }

// SetAnswerPatience is how long a call waits for another with its key.
func (a *API) SetAnswerPatience(d time.Duration) { a.answerPatience = d }

// ForgetExpired is what happens hourly.
func (a *API) ForgetExpired(ctx context.Context) error { return a.forgetExpired(ctx) }

// Tune changes the limits of event streams, before the first.
func (a *API) Tune(heartbeat, write time.Duration, streams, events int) {
	a.news = newNewsroom(limits{heartbeat, write, streams, events, 32 << 20})
}

// Streams is how many event streams are open.
func (a *API) Streams() int { return len(a.news.open) }

// UnmarshalStrict and MaxDepth are of bodies.
var UnmarshalStrict = unmarshalStrict

const MaxDepth = maxDepth
