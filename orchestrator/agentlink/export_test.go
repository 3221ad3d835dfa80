package agentlink

import "time"

// SetNow has a link judge routers' certificates by another clock.
func (l *Link) SetNow(now func() time.Time) { l.now = now }
