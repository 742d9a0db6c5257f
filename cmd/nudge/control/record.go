package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// RecordRequest asks for a recording of clients.
type RecordRequest struct {
	PC  string        `json:"pc,omitempty"` // only the clients at this address
	For time.Duration `json:"for"`          // at most LongestRecording
}

// Recorded is a transcript of what clients and the box said to each other, with
// nobody's name, password, words or address in it.
type Recorded struct {
	Transcript string `json:"transcript"`
}

// LongestRecording is how long a recording may take.
const LongestRecording = time.Hour

var (
	recordRun  = call[RecordRequest, Recorded]{"/record", (*Box).record}
	recordStop = call[Done, Done]{"/record/stop", (*Box).stopRecording}
)

// Record records clients that connect from now on. It returns when the time is over or
// StopRecording is called; when ctx ends before, nothing was recorded.
func (cl *Client) Record(ctx context.Context, r RecordRequest) (Recorded, error) {
	return ask(ctx, cl, recordRun, r)
}

// StopRecording ends the recording that runs.
func (cl *Client) StopRecording(ctx context.Context) error {
	_, err := ask(ctx, cl, recordStop, Done{})
	return err
}

func (b *Box) record(ctx context.Context, r RecordRequest) (Recorded, error) {
	var pc netip.Addr
	var err error
	if r.PC != "" {
		if pc, err = netip.ParseAddr(r.PC); err != nil {
			return Recorded{}, fmt.Errorf("%q is no address of a PC, such as 192.168.1.30", r.PC)
		}
	}
	switch {
	case b.Overhear == nil:
		return Recorded{}, errors.New("the box is not running: there are no clients to record")
	case r.For <= 0 || r.For > LongestRecording:
		return Recorded{}, fmt.Errorf("a recording takes up to %v", LongestRecording)
	}
	ctx, cancel := context.WithTimeout(ctx, r.For)
	defer cancel()
	if !b.stopRecord.CompareAndSwap(nil, &cancel) {
		return Recorded{}, errors.New("a recording runs already; let it end first")
	}
	defer b.stopRecord.Store(nil)
	b.Log.Info("recording clients, without names, passwords and words", "pc", r.PC, "for", r.For)
	text, err := b.Overhear(ctx, pc)
	return Recorded{text}, err
}

func (b *Box) stopRecording(context.Context, Done) (Done, error) {
	stop := b.stopRecord.Load()
	if stop == nil {
		return Done{}, errors.New("nothing is being recorded")
	}
	(*stop)()
	return Done{}, nil
}
