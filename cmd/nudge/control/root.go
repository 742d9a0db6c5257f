package control

import (
	"context"
	"errors"
)

// Root is what PCs are to trust.
type Root struct {
	DER []byte `json:"der"` // the certificate of the box's authority
}

var rootGet = call[Done, Root]{"/root", (*Box).root}

// Root is the certificate of the box's authority. A box that just began to make it is
// waited for.
func (cl *Client) Root(ctx context.Context) (Root, error) {
	return ask(ctx, cl, rootGet, Done{})
}

func (b *Box) root(ctx context.Context, _ Done) (Root, error) {
	if b.Trusted == nil {
		return Root{}, errors.New("the box has no certificate: HTTPS is off")
	}
	der, err := b.Trusted(ctx)
	return Root{der}, err
}
