package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Event is one of GET /v1/events. What is empty for a place without an event:
// the first one says that from now on all changes are told.
type Event struct {
	ID   string
	What string // v1.EventCreated and so on
	v1.Event
}

// eventLimit bounds one line of a stream, in bytes.
const eventLimit = 16 << 20

// Events reads the stream of changes after an event's ID, or from now on if
// that is empty. It ends with each's error, or when the stream does: the
// server restarts, or this side was too slow. Call it again with the last ID.
func (c *Client) Events(ctx context.Context, query url.Values, last string, each func(Event) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/v1/events?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := c.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return problem(resp, io.LimitReader(resp.Body, answerLimit))
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, eventLimit)
	var now Event
	for lines.Scan() {
		if lines.Text() != "" {
			if err := now.read(lines.Text()); err != nil {
				return err
			}
			continue
		}
		if err := each(now); err != nil {
			return err
		}
		now = Event{}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	return nil
}

func (e *Event) read(line string) error {
	field, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch field {
	case "id":
		e.ID = value
	case "event":
		e.What = value
	case "data":
		dec := json.NewDecoder(strings.NewReader(value))
		dec.UseNumber()
		if err := dec.Decode(&e.Event); err != nil {
			return fmt.Errorf("read events: %w", err)
		}
	}
	return nil
}
