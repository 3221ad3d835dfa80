package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"time"

	"github.com/sluice-nfv/sluice/api/client"
	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// followPause is between a stream that ended and the next.
const followPause = time.Second

// follow lists a noun and then tells each change until it is interrupted. The
// stream is open before the list is read, so that nothing is missed between
// both; what happened then is told twice. With filters, an object that is no
// longer among those that match is told as gone.
func (s *session) follow(ctx context.Context, n *noun, query url.Values) error {
	last := ""
	matching := map[string]bool{}
	for {
		err := s.api.Events(ctx, url.Values{"kind": {n.path}}, last, func(e client.Event) error {
			known := last != "" && e.What != v1.EventReset
			if e.ID != "" {
				last = e.ID
			}
			if !known {
				return s.listNow(ctx, n, query, matching)
			}
			if len(query) > 0 {
				if err := s.sift(ctx, n, query, matching, &e); err != nil {
					return err
				}
			}
			return s.tell(n, e)
		})
		var refused *v1.Error
		switch {
		case ctx.Err() != nil:
			return nil // the way to end it
		case errors.As(err, &refused) && refused.Status < 500, last == "" && err != nil:
			return err
		case err != nil:
			fmt.Fprintln(s.err, clean(report(err)))
		}
		select {
		case <-time.After(followPause):
		case <-ctx.Done():
			return nil
		}
	}
}

// sift makes of an event what it means to those who filter: nothing, or that
// the object came or went. The server says whether it matches.
func (s *session) sift(ctx context.Context, n *noun, query url.Values, matching map[string]bool, e *client.Event) error {
	if e.UUID == "" {
		return nil
	}
	matches := false
	if e.What != v1.EventDeleted {
		query = maps.Clone(query)
		query.Set("uuid", e.UUID)
		found, err := client.List[object](ctx, s.api, "/v1/"+n.path, query)
		if err != nil {
			return err
		}
		matches = len(found) > 0
	}
	was := matching[e.UUID]
	switch {
	case matches && !was:
		e.What = v1.EventCreated
	case !matches && was:
		e.What, e.Resource = v1.EventDeleted, nil
	case !matches:
		e.What = ""
	}
	if matching[e.UUID] = matches; !matches {
		delete(matching, e.UUID)
	}
	return nil
}

func (s *session) listNow(ctx context.Context, n *noun, query url.Values, matching map[string]bool) error {
	items, err := client.List[object](ctx, s.api, "/v1/"+n.path, maps.Clone(query))
	if err != nil {
		return err
	}
	clear(matching)
	for _, o := range items {
		matching[fmt.Sprint(o["uuid"])] = true
	}
	if s.output != "json" {
		return s.print(n, items, false)
	}
	for _, o := range items {
		if err := s.line(v1.Event{Kind: n.path, UUID: fmt.Sprint(o["uuid"]), Name: fmt.Sprint(o["name"]), Resource: o}, "listed"); err != nil {
			return err
		}
	}
	return nil
}

var signs = map[string]string{v1.EventCreated: "+", v1.EventChanged: "~", v1.EventDeleted: "-"}

// tell prints one change in the signs of apply.
func (s *session) tell(n *noun, e client.Event) error {
	if e.What == "" {
		return nil // still here
	}
	var err error
	switch s.output {
	case "json":
		return s.line(e.Event, e.What)
	case "yaml":
		if _, err = fmt.Fprintln(s.out, "---"); err == nil {
			err = s.printValue(asEvent(e.Event, e.What))
		}
	case "name":
		_, err = fmt.Fprintln(s.out, signs[e.What], clean(e.Name))
	default:
		_, err = fmt.Fprintln(s.out, signs[e.What], n.name, clean(e.Name), clean(e.UUID))
	}
	return err
}

func asEvent(e v1.Event, what string) object {
	o := object{"event": what, "kind": e.Kind, "uuid": e.UUID, "name": e.Name}
	if e.Resource != nil {
		o["resource"] = e.Resource
	}
	return o
}

func (s *session) line(e v1.Event, what string) error {
	b, err := json.Marshal(asEvent(e, what))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, escaped(string(b)))
	return err
}
