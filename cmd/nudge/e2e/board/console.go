package board

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
)

// console is the guest's serial line.
type console struct {
	in   io.Writer
	done chan struct{} // nothing more comes

	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{} // closed when there is more
}

func newConsole(in io.Writer, out io.Reader) *console {
	c := &console{in: in, done: make(chan struct{}), changed: make(chan struct{})}
	go c.read(out)
	return c
}

func (c *console) read(out io.Reader) {
	defer close(c.done)
	buf := make([]byte, 4096)
	for {
		n, err := out.Read(buf)
		c.mu.Lock()
		c.text.Write(buf[:n])
		close(c.changed)
		c.changed = make(chan struct{})
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// since is what was shown from a position on.
func (c *console) since(from int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()[from:]
}

// wait returns what was shown from a position on once it has the words.
func (c *console) wait(ctx context.Context, from int, words string) (string, error) {
	for {
		c.mu.Lock()
		text, changed := c.text.String()[from:], c.changed
		c.mu.Unlock()
		if strings.Contains(text, words) {
			return text, nil
		}
		select {
		case <-changed:
		case <-c.done:
			return text, errors.New("the board went off; last it showed:\n" + tail(text))
		case <-ctx.Done():
			return text, errors.New("the console did not show " + words + "; last it showed:\n" + tail(text))
		}
	}
}

// tail is the last of a text.
func tail(text string) string { return text[max(0, len(text)-2000):] }
