package store

import (
	"context"
	"log/slog"

	"go.uber.org/zap/zapcore"
)

// slogCore passes etcd's warnings and errors on, as warnings: etcd is loud
// about what it then handles by itself.
type slogCore struct{ log *slog.Logger }

func (c slogCore) Enabled(l zapcore.Level) bool { return l >= zapcore.WarnLevel }

func (c slogCore) With(fields []zapcore.Field) zapcore.Core {
	return slogCore{c.log.With(attrs(fields)...)}
}

func (c slogCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(e.Level) || expected[e.Message] {
		return ce
	}
	return ce.AddCore(e, c)
}

// expected are warnings about choices that are meant.
var expected = map[string]bool{
	"Running http and grpc server on single port. This is not recommended for production.": true, // it listens nowhere
	"simple token is not cryptographically signed":                                         true, // no users
	"Failed to detect schema version":                                                      true, // a new directory
	"failed to update storage version":                                                     true, // same
	// Said in a loop after more than 5000 commits, until the first of them that
	// is not in the snapshot is applied again, which is a few ms.
	"failed to publish local member to cluster through raft": true,
}

func (c slogCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	c.log.Log(context.Background(), slog.LevelWarn, "etcd: "+e.Message, attrs(fields)...)
	return nil
}

func (c slogCore) Sync() error { return nil }

// maxAttr is how much of a text is logged, in bytes.
const maxAttr = 300

func attrs(fields []zapcore.Field) []any {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
	}
	out := make([]any, 0, len(enc.Fields))
	for k, v := range enc.Fields {
		if s, ok := v.(string); ok && len(s) > maxAttr { // whole requests
			v = s[:maxAttr] + "..."
		}
		out = append(out, slog.Any(k, v))
	}
	return out
}
