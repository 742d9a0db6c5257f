package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"nudge/bridge/im"
	"nudge/cmd/nudge/control"
)

// linkCmd are the commands about links.
type linkCmd struct {
	Add    linkAdd    `cmd:"" help:"Link an account to a network."`
	List   linkList   `cmd:"" help:"List the links."`
	Show   linkShow   `cmd:"" help:"Show one link with its data and settings."`
	Set    linkSet    `cmd:"" help:"Change a setting of a link."`
	Answer linkAnswer `cmd:"" help:"Answer what a link asks."`
	Test   linkTest   `cmd:"" help:"Connect a link now and say how it is."`
	Remove linkRemove `cmd:"" help:"Remove a link with its contacts."`
}

// linkName are the arguments that name a link.
type linkName struct {
	Handle  string `arg:"" help:"The account."`
	Network string `arg:"" help:"The network."`
}

// waitFlag bounds how long a command waits for a link to be up.
type waitFlag struct {
	Wait time.Duration `default:"20s" help:"How long to wait for the link to be up."`
}

type linkAdd struct {
	linkName
	waitFlag
}

// Help lists the forms of the networks.
func (linkAdd) Help() string {
	var b strings.Builder
	b.WriteString("The link is kept also when it does not come up; the exit code is 75 then. Linking again replaces the log-in data. " +
		"When the network wants you to sign in on a page, the command says where and waits. " +
		"A secret can be given as --KEY-stdin, one line each, in the order of the flags.\n")
	nets, shared := networks(slog.New(slog.DiscardHandler), nil)
	for _, name := range shared {
		delete(nets, name)
	}
	writeForms(&b, nets)
	b.WriteString("\nExample:\n\n\tnudge link add alice@hotmail.com matrix --user @alice:example.org --password-stdin < password.txt\n" +
		"\tnudge link add alice@hotmail.com xmpp --jid alice@example.org --register --password-stdin < password.txt")
	return b.String()
}

// writeForms lists the flags of log-in forms.
func writeForms(b *strings.Builder, nets map[string]im.Network) {
	for _, name := range slices.Sorted(maps.Keys(nets)) {
		fmt.Fprintf(b, "\n%s:\n\n", name)
		for _, f := range nets[name].Fields() {
			more := f.Help
			if f.Required {
				more = "required; " + more
			}
			if len(f.Choices) > 0 {
				more += " (" + strings.Join(f.Choices, ", ") + ")"
			}
			fmt.Fprintf(b, "\t--%-12s %s\n", f.Key, more)
		}
	}
}

func (c linkAdd) Run(e *env) error {
	var form []im.Field
	if nets, _ := networks(slog.New(slog.DiscardHandler), nil); nets[c.Network] != nil {
		form = nets[c.Network].Fields()
	}
	values, err := readLinkArgs(e.linkArgs, form, e.stdin)
	if err != nil {
		return err
	}
	return e.with(mustBe, func(cl *control.Client) error {
		l, err := cl.AddLink(e.ctx, control.NewLink{Account: c.Handle, Network: c.Network, Values: values, Wait: c.Wait})
		if err != nil {
			return err
		}
		return e.linkResult(cl, l)
	})
}

// linkResult tells how a link is. One that is not up is kept and tried again.
func (e *env) linkResult(cl *control.Client, l control.Link) error {
	l, err := e.attend(cl, l)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s is linked to %s.", cmp.Or(l.Account, "The box"), l.Network)
	switch {
	case !cl.Running():
		text += " The link connects when nudge runs."
	case l.State == "degraded":
		text += " " + l.Text
	case l.State == "down":
		text += " It is not up yet: " + l.Text
	}
	if err := e.say(l, "%s", text); err != nil {
		return err
	}
	if l.State == "down" && cl.Running() {
		return &coded{exitLater, nil}
	}
	return nil
}

// own are the flags that link add has whatever the network, and whether they
// take a value.
var own = map[string]bool{"config": true, "data": true, "wait": true, "json": false, "help": false}

// splitLinkArgs takes the network's own flags out of the command line of link
// add and gateway add, because only the network knows them. Any other command line stays whole.
func splitLinkArgs(args []string) (rest, fields []string) {
	var words int
	var isAdd bool
	for i := 0; i < len(args); i++ {
		name, isFlag := strings.CutPrefix(args[i], "--")
		key, _, hasValue := strings.Cut(name, "=")
		takesValue, known := own[key]
		switch {
		case !isFlag:
			words++
			if words == 1 && args[i] != "link" && args[i] != "gateway" || words == 2 && args[i] != "add" {
				return args, nil
			}
			isAdd = words >= 2
			rest = append(rest, args[i])
			continue
		case known:
			rest = append(rest, args[i])
		default:
			takesValue = !strings.HasSuffix(key, stdinSuffix)
			fields = append(fields, args[i])
		}
		if takesValue && !hasValue && i+1 < len(args) && (known || !strings.HasPrefix(args[i+1], "--")) {
			i++
			if known {
				rest = append(rest, args[i])
			} else {
				fields[len(fields)-1] += "=" + args[i]
			}
		}
	}
	if !isAdd {
		return args, nil
	}
	return rest, fields
}

const stdinSuffix = "-stdin"

// readLinkArgs makes the form's values of --KEY=VALUE and --KEY-stdin, and of --KEY where
// yes is one of the choices.
func readLinkArgs(args []string, form []im.Field, stdin *lineReader) (map[string]string, error) {
	values := map[string]string{}
	for _, a := range args {
		key, value, hasValue := strings.Cut(strings.TrimPrefix(a, "--"), "=")
		if secret, ok := strings.CutSuffix(key, stdinSuffix); ok && !hasValue {
			var err error
			if value, err = stdin.secret("the " + secret); err != nil {
				return nil, err
			}
			key = secret
		} else if !hasValue && slices.ContainsFunc(form, func(f im.Field) bool { return f.Key == key && slices.Contains(f.Choices, "yes") }) {
			value = "yes"
		} else if !hasValue {
			return nil, usage("--%s needs a value", key)
		}
		if _, twice := values[key]; twice {
			return nil, usage("--%s is given twice", key)
		}
		values[key] = value
	}
	return values, nil
}

type linkList struct {
	Handle string `arg:"" optional:"" help:"The account; all when it is left out."`
}

func (linkList) Help() string { return "Example:\n\n\tnudge link list alice@hotmail.com" }

func (c linkList) Run(e *env) error {
	return e.with(mustBe, func(cl *control.Client) error {
		links, err := cl.Links(e.ctx, c.Handle, "")
		if err != nil {
			return err
		}
		return e.show(links, func(w io.Writer) {
			if len(links) == 0 {
				fmt.Fprintln(w, "There are no links yet. nudge link add --help shows how to make one.")
				return
			}
			fmt.Fprintln(w, "ACCOUNT\tNETWORK\tSTATE\tWAITING\tTEXT")
			for _, l := range links {
				text := l.Text
				if l.Question != nil {
					text = "asks something: nudge link show " + l.Account + " " + l.Network
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", l.Account, l.Network, l.State, l.Waiting, text)
			}
		})
	})
}

type linkShow struct{ linkName }

func (linkShow) Help() string { return "Example:\n\n\tnudge link show alice@hotmail.com matrix" }

func (c linkShow) Run(e *env) error {
	return e.with(mustBe, func(cl *control.Client) error {
		links, err := cl.Links(e.ctx, c.Handle, c.Network)
		if err != nil {
			return err
		}
		if len(links) == 0 {
			return fmt.Errorf("%s has no link to %s; nudge link add makes one", c.Handle, c.Network)
		}
		nets, err := cl.Networks(e.ctx)
		if err != nil {
			return err
		}
		l := links[0]
		return e.show(l, func(w io.Writer) {
			fmt.Fprintf(w, "account\t%s\nnetwork\t%s\nstate\t%s\n", l.Account, l.Network, l.State)
			if l.Text != "" {
				fmt.Fprintf(w, "text\t%s\n", l.Text)
			}
			if l.Since != nil {
				fmt.Fprintf(w, "since\t%s\n", l.Since.Local().Format("2 Jan 2006 15:04:05"))
			}
			fmt.Fprintf(w, "waiting\t%d\n", l.Waiting)
			if q := l.Question; q != nil {
				fmt.Fprintf(w, "asks\t%s\nanswer\tnudge link answer %s %s %s\n", q.Text, l.Account, l.Network, cmp.Or(strings.Join(q.Input.Choices, "|"), "TEXT"))
			}
			for _, k := range slices.Sorted(maps.Keys(l.Fields)) {
				fmt.Fprintf(w, "%s\t%s\n", k, l.Fields[k])
			}
			i := slices.IndexFunc(nets, func(n control.Network) bool { return n.Name == l.Network })
			if i < 0 {
				return
			}
			writeSettings(w, nets[i].Settings, l.Settings)
		})
	})
}

type linkSet struct {
	linkName
	Key   string `arg:""`
	Value string `arg:""`
}

func (linkSet) Help() string {
	return "nudge link show lists the settings. Example:\n\n\tnudge link set alice@hotmail.com matrix receipts off"
}

func (c linkSet) Run(e *env) error {
	return e.with(mustBe, func(cl *control.Client) error {
		s := control.LinkSetting{Account: c.Handle, Network: c.Network, Key: c.Key, Value: c.Value}
		if err := cl.SetLink(e.ctx, s); err != nil {
			return err
		}
		return e.say(control.Done{}, "%s %s: %s is now %s.", c.Handle, c.Network, c.Key, c.Value)
	})
}

type linkAnswer struct {
	linkName
	Answer string `arg:"" optional:"" help:"The answer; read from standard input when it is left out, as a secret must be."`
}

func (linkAnswer) Help() string {
	return "nudge link show tells the question. Example:\n\n\tnudge link answer alice@hotmail.com matrix yes"
}

func (c linkAnswer) Run(e *env) error {
	return e.with(mustBe, func(cl *control.Client) error {
		if c.Answer == "" {
			var err error
			if c.Answer, err = e.stdin.secret("the answer"); err != nil {
				return err
			}
		}
		if err := cl.AnswerLink(e.ctx, control.LinkAnswer{Account: c.Handle, Network: c.Network, Answer: c.Answer}); err != nil {
			return err
		}
		return e.say(control.Done{}, "%s of %s has the answer.", c.Network, c.Handle)
	})
}

type linkTest struct {
	linkName
	waitFlag
}

func (linkTest) Help() string {
	return "The exit code is 75 when the link is not up. Example:\n\n\tnudge link test alice@hotmail.com matrix"
}

func (c linkTest) Run(e *env) error {
	return e.with(mustBe, func(cl *control.Client) error {
		l, err := cl.TestLink(e.ctx, c.Handle, c.Network, c.Wait)
		if err == nil {
			l, err = e.attend(cl, l)
		}
		if err != nil {
			return err
		}
		if err := e.say(l, "%s %s: %s", l.Account, l.Network, strings.TrimSuffix(l.State+": "+l.Text, ": ")); err != nil {
			return err
		}
		if l.State == "down" {
			return &coded{exitLater, nil}
		}
		return nil
	})
}

type linkRemove struct{ linkName }

func (linkRemove) Help() string { return "Example:\n\n\tnudge link remove alice@hotmail.com matrix" }

func (c linkRemove) Run(e *env) error {
	return e.with(mustBe, func(cl *control.Client) error {
		if err := cl.RemoveLink(e.ctx, c.Handle, c.Network); err != nil {
			return err
		}
		return e.say(control.Done{}, "%s is no longer linked to %s.", c.Handle, c.Network)
	})
}
