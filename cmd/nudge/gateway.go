package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"nudge/cmd/nudge/control"
)

// gatewayCmd are the commands about gateways: one link for all accounts.
type gatewayCmd struct {
	Add    gatewayAdd    `cmd:"" help:"Connect all accounts to a network at once."`
	List   gatewayList   `cmd:"" help:"List the gateways with their settings."`
	Set    gatewaySet    `cmd:"" help:"Change a setting of a gateway."`
	Remove gatewayRemove `cmd:"" help:"Remove a gateway with the contacts that accounts have by it."`
}

type gatewayAdd struct {
	Network string `arg:"" help:"The network."`
	waitFlag
}

// Help lists the forms of the networks.
func (gatewayAdd) Help() string {
	var b strings.Builder
	b.WriteString("On xmpp the box is a component of your own server, on matrix an application service: every account has an address there, " +
		"but for those with a link of their own. The gateway is kept also when it does not come up; the exit code is 75 then. " +
		"Adding it again replaces the log-in data. A secret can be given as --KEY-stdin.\n\n" +
		"For matrix a registration file is written, with the tokens in it: to nudge-registration.yaml here, or where --registration says. " +
		"Name it in the homeserver's configuration and restart that. When the file is there already its tokens stay.\n")
	writeForms(&b, gateways(slog.New(slog.DiscardHandler)))
	b.WriteString("\nExample:\n\n\tnudge gateway add xmpp --jid msn.example.org --server localhost:5347 --secret-stdin < secret.txt" +
		"\n\tnudge gateway add matrix --homeserver http://localhost:8008 --domain example.org --registration /etc/matrix-synapse/nudge.yaml")
	return b.String()
}

func (c gatewayAdd) Run(e *env) error {
	values, err := readLinkArgs(e.linkArgs, nil, e.stdin)
	if err != nil {
		return err
	}
	if compose := register(c.Network); compose != nil {
		if err := e.registration(compose, values); err != nil {
			return err
		}
	}
	return e.with(mayMake, func(cl *control.Client) error {
		l, err := cl.AddGateway(e.ctx, control.NewLink{Network: c.Network, Values: values, Wait: c.Wait})
		if err != nil {
			return err
		}
		return e.linkResult(cl, l)
	})
}

// defaultRegistration is where a registration is written.
const defaultRegistration = "nudge-registration.yaml"

// registration writes the file that a gateway's server has to be given.
func (e *env) registration(compose func(map[string]string, []byte) ([]byte, error), values map[string]string) error {
	file, err := filepath.Abs(cmp.Or(values["registration"], defaultRegistration))
	if err != nil {
		return err
	}
	delete(values, "registration")
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the registration can't be read: %w", err)
	}
	text, err := compose(values, old)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return fmt.Errorf("the registration can't be written: %w; choose another place with --registration", err)
	}
	fmt.Fprintf(e.stderr, "The registration is in %s. The homeserver must be able to read it: name it in its configuration and restart it.\n", file)
	return nil
}

type gatewayList struct{}

func (gatewayList) Help() string { return "Example:\n\n\tnudge gateway list" }

func (gatewayList) Run(e *env) error {
	return e.with(mustBe, func(cl *control.Client) error {
		all, err := cl.Gateways(e.ctx)
		if err != nil {
			return err
		}
		forms, err := cl.GatewayForms(e.ctx)
		if err != nil {
			return err
		}
		return e.show(all, func(w io.Writer) {
			if len(all) == 0 {
				fmt.Fprintln(w, "There are no gateways. nudge gateway add --help shows how to make one.")
			}
			for _, g := range all {
				fmt.Fprintf(w, "%s\t%s\t%s\n", g.Network, cmp.Or(g.Fields["jid"], g.Fields["domain"]), linkText(g))
				for _, form := range forms {
					if form.Name == g.Network {
						writeSettings(w, form.Settings, g.Settings)
					}
				}
			}
		})
	})
}

// writeSettings lists the settings of a link or gateway.
func writeSettings(w io.Writer, form []control.Field, set map[string]string) {
	for _, f := range form {
		value, is := set[f.Key]
		if !is {
			value = strings.TrimSpace(f.Default + " (default)")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Key, value, f.Help)
	}
}

type gatewaySet struct {
	Network string `arg:""`
	Key     string `arg:""`
	Value   string `arg:""`
}

func (gatewaySet) Help() string {
	return "nudge gateway list shows the settings. Example:\n\n\tnudge gateway set xmpp accept_from anyone"
}

func (c gatewaySet) Run(e *env) error {
	return e.with(mustBe, func(cl *control.Client) error {
		if err := cl.SetGateway(e.ctx, control.LinkSetting{Network: c.Network, Key: c.Key, Value: c.Value}); err != nil {
			return err
		}
		return e.say(control.Done{}, "Gateway %s: %s is now %s.", c.Network, c.Key, c.Value)
	})
}

type gatewayRemove struct {
	Network string `arg:""`
}

func (gatewayRemove) Help() string { return "Example:\n\n\tnudge gateway remove xmpp" }

func (c gatewayRemove) Run(e *env) error {
	return e.with(mustBe, func(cl *control.Client) error {
		if err := cl.RemoveGateway(e.ctx, c.Network); err != nil {
			return err
		}
		return e.say(control.Done{}, "There is no gateway to %s any more.", c.Network)
	})
}
