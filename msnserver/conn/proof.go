package conn

import "time"

// proof is a written message that is proved at a time, if the session lives and
// the client's machine has confirmed everything up to pos.
type proof struct {
	at     time.Time
	pos    int
	settle func(bool)
}

// written starts the second that proves the messages within the n bytes
// written; the others failed.
func (c *Conn) written(marks []mark, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, before := time.Now().Add(proofTime), c.sent
	c.sent += n
	for _, m := range marks {
		if m.end > n || c.closed {
			c.failed = append(c.failed, m.settle)
			continue
		}
		c.proofs = append(c.proofs, proof{at, before + m.end, m.settle})
		c.arm()
	}
}

// arm sets the timer for the oldest proof, not too soon: one look proves many.
// c.mu is held.
func (c *Conn) arm() {
	if c.timer != nil || len(c.proofs) == 0 || c.closed {
		return
	}
	c.proving.Add(1)
	c.timer = time.AfterFunc(max(time.Until(c.proofs[0].at), proofPause), c.prove)
}

// prove settles the messages whose second has passed.
func (c *Conn) prove() {
	defer c.proving.Done()
	c.mu.Lock()
	c.timer = nil
	var done []proof
	now, confirmed := time.Now(), c.sent
	if n, known := Unacknowledged(c.Net); known {
		confirmed -= n
	}
	for len(c.proofs) > 0 && !c.closed && !c.proofs[0].at.After(now) {
		if c.proofs[0].pos > confirmed {
			c.proofs[0].at = now.Add(proofTime) // his machine is silent: ask again
			break
		}
		done = append(done, c.proofs[0])
		c.proofs = c.proofs[1:]
	}
	c.arm()
	c.mu.Unlock()
	for _, p := range done {
		p.settle(true)
	}
}
