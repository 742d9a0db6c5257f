package assistant

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"nudge/bridge/im"
)

// command is something that can be said. The first word is the one shown in
// help.
type command struct {
	words []string
	arg   string // what follows the word, "" nothing
	help  string
	run   func(ctx context.Context, a Actions, account, arg string) (string, error)
}

// commands in the order of help. Words are lower-case; some have spaces.
var commands = []command{
	{[]string{"status", "state", "how are you", "how is it going"}, "", "how this box is doing", status},
	{[]string{"links", "networks", "connections", "my links", "list links"}, "", "your other networks", links},
	{[]string{"link", "connect", "sign in", "log in", "login", "link me", "password", "my password", "token", "recovery key"}, "", "link Matrix or XMPP to your account", linkPage},
	{[]string{"settings", "options", "preferences"}, "", "what can be set on your links", settings},
	{[]string{"set", "change"}, "xmpp receipts no", "set it", set},
	{[]string{"find", "search", "search for", "look for", "look up", "who is", "where is"}, "bob", "look for somebody", find},
	{[]string{"add", "invite", "befriend"}, "bob@example.org", "put somebody on your list", add},
	{[]string{"remove", "delete"}, "bob@example.org", "take somebody off it", edit(Actions.Remove, "%s is off your list.")},
	{[]string{"block", "ignore"}, "bob@example.org", "not be seen by, or hear from, somebody", edit(Actions.Block, "%s is blocked: you are offline there, and nothing from there reaches you.")},
	{[]string{"yes"}, "", "say yes to what a network asks through me", answer("yes")},
	{[]string{"no"}, "", "say no to it", answer("no")},
	{[]string{"unblock", "unignore"}, "bob@example.org", "undo that", edit(Actions.Unblock, "%s is no longer blocked.")},
	{[]string{"tricks", "corrections", "reactions"}, "", "what else you can write to friends on Matrix and XMPP", tricks},
}

// helpWords ask for the list of commands.
var helpWords = []string{"help", "?", "commands", "hello", "hi", "hey", "hallo", "hilfe", "start", "menu", "what can you do"}

// maxLines is how many lines an answer lists before it says that there are more.
const maxLines = 12

// answer is what the assistant says to a message: never empty, never an echo
// of something secret.
func (k *link) answer(ctx context.Context, account string, m im.Message) string {
	switch {
	case m.Kind == im.Nudge:
		return "Yes? Write “help” to see what I can do."
	case m.File != nil:
		return "I can't take files. Write “help” to see what I can do."
	case secret(m.Text):
		return notInChat(account)
	}
	said := tidy(m.Text)
	for _, w := range helpWords {
		if said == w {
			return help()
		}
	}
	c, arg, ok := understand(said)
	if !ok {
		return "I didn't understand that. Write “help” to see what I can do."
	}
	if c.arg != "" {
		if arg = argument(m.Text, arg); arg == "" {
			what := "Whom"
			if strings.Contains(c.arg, " ") {
				what = "What"
			}
			return fmt.Sprintf("%s? For example: %s %s", what, c.words[0], c.arg)
		}
	}
	text, err := c.run(ctx, k.actions, account, arg)
	if err != nil {
		return sentence(err)
	}
	return text
}

func help() string {
	var b strings.Builder
	b.WriteString("You can write:")
	for _, c := range commands {
		fmt.Fprintf(&b, "\n%s – %s", strings.TrimSpace(c.words[0]+" "+c.arg), c.help)
	}
	return b.String()
}

// sentence makes an error something that can be said.
func sentence(err error) string {
	switch {
	case errors.Is(err, im.ErrNotFound):
		return "I know nobody of that name, and neither do your networks."
	case errors.Is(err, context.DeadlineExceeded):
		return "That took too long. Please try again."
	}
	text := strings.TrimSpace(err.Error())
	if text == "" {
		return "That did not work. Please try again."
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}

// tricks tells what the hub makes of words to other networks.
func tricks(context.Context, Actions, string, string) (string, error) {
	return "To friends on Matrix and XMPP you can write:\n" +
		"s/soup/soap/ – corrects your last message\n" +
		"/del – deletes it\n" +
		"+(Y) – reacts to their last message, with any emoticon\n" +
		"/reply text – answers it\n" +
		"/vote 2 – answers their last poll\n" +
		"With one slash more these are just words: //del", nil
}

func status(ctx context.Context, a Actions, account, _ string) (string, error) {
	text, err := a.Status(ctx, account)
	if err == nil && text == "" {
		text = "All is well."
	}
	return text, err
}

func links(ctx context.Context, a Actions, account, _ string) (string, error) {
	lines, err := a.Links(ctx, account)
	if err == nil && len(lines) == 0 {
		return "You have no links to other networks yet. Write “link” to hear how.", nil
	}
	return list("Your links:", lines), err
}

func settings(ctx context.Context, a Actions, account, _ string) (string, error) {
	lines, err := a.Settings(ctx, account)
	if err == nil && len(lines) == 0 {
		return "You have no links to other networks yet. Write “link” to hear how.", nil
	}
	return list("To change one write for example “set xmpp receipts no”.", lines), err
}

// set changes a setting; a value may have blanks.
func set(ctx context.Context, a Actions, account, arg string) (string, error) {
	net, rest, _ := strings.Cut(arg, " ")
	key, value, ok := strings.Cut(strings.TrimSpace(rest), " ")
	if !ok {
		return "", errors.New("write it like this: set xmpp receipts no")
	}
	net, key, value = strings.ToLower(net), strings.ToLower(key), strings.TrimSpace(value)
	return fmt.Sprintf("%s of %s is %s now.", key, net, value), a.Set(ctx, account, net, key, value)
}

func find(ctx context.Context, a Actions, account, who string) (string, error) {
	lines, err := a.Find(ctx, account, who)
	if err == nil && len(lines) == 0 {
		err = im.ErrNotFound
	}
	return list("I found:", lines), err
}

func add(ctx context.Context, a Actions, account, who string) (string, error) {
	if !strings.Contains(who, "@") {
		return "", fmt.Errorf("that is a name, not an address; write for example “add %s@example.org”, or “find %s”", who, who)
	}
	return fmt.Sprintf("%s is on your list. You see each other once that is agreed to there.", who), a.Add(ctx, account, who)
}

// answer makes the run function of an answer to a network's question.
func answer(text string) func(context.Context, Actions, string, string) (string, error) {
	return func(ctx context.Context, a Actions, account, more string) (string, error) {
		if more != "" {
			return "", fmt.Errorf("please answer with “%s” alone if you mean it", text)
		}
		return "Thank you, I pass it on.", a.Answer(ctx, account, text)
	}
}

// edit makes the run function of a change of the contact list.
func edit(do func(Actions, context.Context, string, string) error, done string) func(context.Context, Actions, string, string) (string, error) {
	return func(ctx context.Context, a Actions, account, who string) (string, error) {
		return fmt.Sprintf(done, who), do(a, ctx, account, who)
	}
}

func linkPage(ctx context.Context, a Actions, account, _ string) (string, error) {
	url, err := a.LinkPage(ctx, account)
	if url == "" && err == nil {
		return howToLink(account), nil
	}
	return "Open this page soon, it works once:\n" + url + "\nPasswords go there, never into a chat.", err
}

// howToLink is for builds without pages.
func howToLink(account string) string {
	return fmt.Sprintf("The owner of this box links you on its command line, where the password is asked for:\n"+
		"nudge link add %s matrix --help\nnudge link add %s xmpp --help\nPlease never write a password into a chat.", account, account)
}

func notInChat(account string) string {
	return "That looks like a password or key. I neither keep nor use it: such things never go into a chat, " +
		"which old programs log and send unencrypted. If it is a real one, change it.\n" + howToLink(account)
}

func list(title string, lines []string) string {
	if more := len(lines) - maxLines; more > 0 {
		lines = append(lines[:maxLines:maxLines], fmt.Sprintf("… and %d more", more))
	}
	return title + "\n" + strings.Join(lines, "\n")
}
