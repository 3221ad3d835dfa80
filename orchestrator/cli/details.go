package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// details shows one object, a field a line, and its stages as a table.
func details(to io.Writer, o object) error {
	var rows [][]string
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(o)), func(k string) bool { return k == "name" || k == "uuid" || k == "conditions" })
	for _, k := range append([]string{"name", "uuid"}, keys...) {
		values, ok := o[k].([]any)
		if !ok || len(values) == 0 || !isObject(values[0]) {
			rows = append(rows, []string{clean(k), short(k, o[k])})
			continue
		}
		for i, v := range values {
			rows = append(rows, []string{fmt.Sprintf("%s[%d]", clean(k), i), cell(brief(v))})
		}
	}
	if err := grid(to, nil, rows); err != nil {
		return err
	}
	conditions := conditionsOf(o)
	if len(conditions) == 0 {
		return nil
	}
	fmt.Fprintln(to)
	return conditionTable(to, conditions)
}

func isObject(v any) bool { _, ok := v.(object); return ok }

// brief leaves out of an object within an object what only its own show shows.
func brief(v any) any {
	o, ok := v.(object)
	if !ok {
		return v
	}
	c := maps.Clone(o)
	for _, key := range []string{"createDate", "lastOpDate", "revision"} {
		delete(c, key)
	}
	return c
}

// moments are the fields with a time whose names do not say so.
var moments = []string{"time", "expires", "lastUsed", "since"}

// short is a cell, with times to the second.
func short(key string, v any) string {
	text, ok := v.(string)
	if !ok || !strings.HasSuffix(key, "Date") && !slices.Contains(moments, leaf(key)) {
		return cell(v)
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return cell(v)
	}
	return timeText(t)
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

func conditionsOf(o object) []v1.Condition {
	b, err := json.Marshal(o["conditions"])
	var conditions []v1.Condition
	if err != nil || json.Unmarshal(b, &conditions) != nil {
		return nil // another server's idea of them: -o json shows it
	}
	return conditions
}

// conditionTable shows stages in their order, with how long each took.
func conditionTable(to io.Writer, conditions []v1.Condition) error {
	rows := make([][]string, 0, len(conditions))
	for _, c := range conditions {
		took := "-"
		if c.DurationMs > 0 {
			took = duration(c.DurationMs)
		}
		rows = append(rows, []string{cell(c.Type), cell(c.Status), cell(c.Reason), took, timeText(c.Since), cell(c.Message)})
	}
	return grid(to, []string{"STAGE", "STATUS", "REASON", "TOOK", "SINCE", "MESSAGE"}, rows)
}

// duration is milliseconds in the unit that reads best.
func duration(ms int64) string {
	if ms < 1000 {
		return fmt.Sprintf("%dms", ms)
	}
	return fmt.Sprintf("%.1fs", float64(ms)/1000)
}
