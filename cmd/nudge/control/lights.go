package control

import (
	"context"
	"errors"
	"time"
)

// Lights are the box's LEDs, as far as the owner's calls need them.
type Lights interface {
	// About says in one line which there are and why others are not; missing: of
	// those that somebody wired.
	About() (line string, missing bool)
	// Test lights one after the other and returns how long that takes: 0 when
	// there is none.
	Test() time.Duration
	// Pairing shows until when somebody may be let in.
	Pairing(until time.Time)
}

// LightsTest is what a test of the lights answers.
type LightsTest struct {
	Lights string        `json:"lights"` // which there are
	Takes  time.Duration `json:"takes"`
}

// Pairing is the time in which the box lets somebody in who has no password
// yet: whoever can press its button, or call it, is in the house.
type Pairing struct {
	Until time.Time `json:"until"`
}

// pairingTime is how long pairing stays open.
const pairingTime = 3 * time.Minute

var (
	lightsTest  = call[Done, LightsTest]{"/lights/test", (*Box).lightsTest}
	pairingOpen = call[Done, Pairing]{"/pairing/open", (*Box).pairingOpen}
)

// TestLights lights each of the box's lights in turn.
func (cl *Client) TestLights(ctx context.Context) (LightsTest, error) {
	return ask(ctx, cl, lightsTest, Done{})
}

// OpenPairing lets somebody in for three minutes from now.
func (cl *Client) OpenPairing(ctx context.Context) (Pairing, error) {
	return ask(ctx, cl, pairingOpen, Done{})
}

func (b *Box) lightsTest(context.Context, Done) (LightsTest, error) {
	if b.Lights == nil {
		return LightsTest{}, errors.New("the box runs without lights")
	}
	return TestOf(b.Lights)
}

// TestOf tests lights. Without any it is an error.
func TestOf(l Lights) (LightsTest, error) {
	about, _ := l.About()
	t := LightsTest{about, l.Test()}
	if t.Takes == 0 {
		return t, errors.New("there is nothing to light: " + t.Lights)
	}
	return t, nil
}

func (b *Box) pairingOpen(context.Context, Done) (Pairing, error) {
	if !b.Running {
		return Pairing{}, errors.New("the box is not running: nobody could be let in")
	}
	p := Pairing{time.Now().Add(pairingTime)}
	b.pairing.Store(&p)
	if b.Lights != nil {
		b.Lights.Pairing(p.Until)
	}
	b.Log.Info("pairing is open", "for", pairingTime)
	return p, nil
}

// PairingUntil tells until when somebody may be let in, zero when nobody may.
func (b *Box) PairingUntil() time.Time {
	if p := b.pairing.Load(); p != nil && time.Now().Before(p.Until) {
		return p.Until
	}
	return time.Time{}
}
