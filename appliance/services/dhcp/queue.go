package dhcp

// queueLength bounds what waits to be answered. When requests come faster than
// they are answered the oldest goes: its client has sent it again already, or
// will.
const queueLength = 1024

// queue is a ring of frames that changes owners of buffers instead of copying
// them. Buffers are made when first needed: an idle network has few.
type queue struct {
	ring [queueLength]*slot
	head int // the oldest
	len  int
	free []*slot
}

// push takes s and gives another slot for it, and whether the oldest frame was
// dropped.
func (q *queue) push(s *slot) (spare *slot, dropped bool) {
	if q.len == queueLength {
		spare, q.ring[q.head] = q.ring[q.head], s
		q.head = (q.head + 1) % queueLength
		return spare, true
	}
	q.ring[(q.head+q.len)%queueLength] = s
	q.len++
	if n := len(q.free); n > 0 {
		spare, q.free = q.free[n-1], q.free[:n-1]
		return spare, false
	}
	return new(slot), false
}

// pop gives the oldest frame, or nil; give it back with release.
func (q *queue) pop() *slot {
	if q.len == 0 {
		return nil
	}
	s := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) % queueLength
	q.len--
	return s
}

func (q *queue) release(s *slot) { q.free = append(q.free, s) }
