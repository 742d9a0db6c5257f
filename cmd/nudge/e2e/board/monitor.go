package board

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// monitor is QEMU's, by which it is looked into (QMP, in QEMU's documentation).
type monitor struct {
	c   net.Conn
	dec *json.Decoder
}

// dialMonitor waits until QEMU has made its socket.
func dialMonitor(ctx context.Context, socket string) (*monitor, error) {
	var d net.Dialer
	for {
		c, err := d.DialContext(ctx, "unix", socket)
		if err == nil {
			m := &monitor{c, json.NewDecoder(c)}
			if _, err = m.ask("qmp_capabilities", nil); err != nil {
				err = errors.Join(err, c.Close())
			}
			return m, err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// request is a command of QMP, answer what may come back; both that and what QEMU
// tells unasked have keys of their own.
type (
	request struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
	}
	human struct {
		Line string `json:"command-line"`
	}
	answer struct {
		Return json.RawMessage `json:"return"`
		Error  *struct {
			Desc string `json:"desc"`
		} `json:"error"`
	}
)

// ask executes a command.
func (m *monitor) ask(command string, arguments any) (json.RawMessage, error) {
	if err := json.NewEncoder(m.c).Encode(request{command, arguments}); err != nil {
		return nil, err
	}
	for {
		var a answer
		if err := m.dec.Decode(&a); err != nil {
			return nil, err
		}
		if a.Error != nil {
			return nil, fmt.Errorf("QEMU refused %s: %s", command, a.Error.Desc)
		}
		if a.Return != nil {
			return a.Return, nil
		}
	}
}

// words reads n words of the board's memory.
func (m *monitor) words(addr uint64, n int) ([]uint32, error) {
	a, err := m.ask("human-monitor-command", human{fmt.Sprintf("xp /%dwx 0x%x", n, addr)})
	if err != nil {
		return nil, err
	}
	var text string
	if err := json.Unmarshal(a, &text); err != nil {
		return nil, err
	}
	return readDump(text, n)
}

// readDump takes n words out of "ADDRESS: WORD WORD…" lines.
func readDump(text string, n int) (words []uint32, err error) {
	for line := range strings.Lines(text) {
		_, values, _ := strings.Cut(line, ":")
		for _, v := range strings.Fields(values) {
			w, err := strconv.ParseUint(v, 0, 32)
			if err != nil {
				return nil, fmt.Errorf("QEMU's dump %q: %w", text, err)
			}
			words = append(words, uint32(w))
		}
	}
	if len(words) != n {
		return nil, fmt.Errorf("QEMU's dump %q has not %d words", text, n)
	}
	return words, nil
}
