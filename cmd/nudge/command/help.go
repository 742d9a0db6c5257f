package command

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// width is how many characters a line of the help has.
const width = 80

// WriteHelp explains the command that was named: of the program, whose name is
// given, and what it is for when no command was.
func (l *Line) WriteHelp(w io.Writer, program, about string) error {
	var b strings.Builder
	n := l.at
	name := strings.TrimSpace(program + " " + n.path())
	fmt.Fprintf(&b, "Usage: %s%s [flags]\n\n", name, n.usage())
	if n.parent != nil {
		about = n.help
	}
	b.WriteString(prose(about))
	if h, ok := l.Command.(interface{ Help() string }); ok {
		b.WriteString("\n" + prose(h.Help()))
	}
	var rows [][2]string
	for _, v := range n.args {
		rows = append(rows, [2]string{v.usage(), v.help})
	}
	table(&b, "\nArguments:\n", rows)

	rows = [][2]string{{"-h, --help", "Show this help."}}
	for _, of := range n.line() {
		if of.parent != nil && len(of.flags) > 0 {
			rows = append(rows, [2]string{})
		}
		for _, v := range of.flags {
			rows = append(rows, [2]string{"    " + v.usage(), v.help})
		}
	}
	table(&b, "\nFlags:\n", rows)

	rows = nil
	for _, s := range n.subs {
		rows = append(rows, [2]string{s.path(), s.help})
	}
	table(&b, "\nCommands:\n", rows)
	if n.parent == nil && len(n.subs) > 0 {
		fmt.Fprintf(&b, "\nRun \"%s <command> --help\" for more about a command.\n", program)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// line is the command with all those above it, the program first.
func (n *node) line() []*node {
	if n.parent == nil {
		return []*node{n}
	}
	return append(n.parent.line(), n)
}

// usage is what follows the command's name.
func (n *node) usage() string {
	if len(n.subs) > 0 {
		return " <command>"
	}
	var b strings.Builder
	for _, v := range n.args {
		b.WriteString(" " + v.usage())
	}
	return b.String()
}

// usage is how the argument or flag is given.
func (v *value) usage() string {
	_, isBool := v.Interface().(bool)
	switch {
	case !v.flag && v.all:
		return "[<" + v.name + "> ...]"
	case !v.flag && v.optional:
		return "[<" + v.name + ">]"
	case !v.flag:
		return "<" + v.name + ">"
	case isBool:
		return "--" + v.name
	case v.placeholder != "":
		return "--" + v.name + "=" + v.placeholder
	case v.preset != "":
		return "--" + v.name + "=" + v.preset
	}
	return "--" + v.name + "=" + strings.ToUpper(v.name)
}

// prose wraps text whose lines are paragraphs; those that start with a tab stay
// as they are, four spaces in.
func prose(text string) string {
	var b strings.Builder
	for l := range strings.Lines(strings.TrimSpace(text) + "\n") {
		if code, ok := strings.CutPrefix(l, "\t"); ok {
			l = "    " + code
			if code == "\n" {
				l = code
			}
			b.WriteString(l)
			continue
		}
		b.WriteString(strings.Join(wrap(strings.TrimSpace(l), width), "\n") + "\n")
	}
	return b.String()
}

// table writes rows of two columns under a title; none at all when there are no
// rows.
func table(b *strings.Builder, title string, rows [][2]string) {
	if len(rows) == 0 {
		return
	}
	b.WriteString(title)
	first := 0
	for _, r := range rows {
		first = max(first, len(r[0]))
	}
	for _, r := range rows {
		for i, l := range wrap(r[1], width-first-6) {
			if i > 0 {
				r[0] = ""
			}
			b.WriteString(strings.TrimRight(fmt.Sprintf("  %-*s    %s", first, r[0], l), " ") + "\n")
		}
	}
}

// wrap breaks text between words so that no line is longer than most, if it can.
func wrap(text string, most int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > most {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}
