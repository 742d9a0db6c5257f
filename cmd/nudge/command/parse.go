package command

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parser is a command line while it is read.
type parser struct {
	at    *node    // the command that was named so far
	args  []string // what was not read yet
	words int      // arguments of at that were given
	plain bool     // flags are over: -- was read
	help  bool
}

// read reads the whole line, whose first error counts.
func (p *parser) read() (first error) {
	for len(p.args) > 0 {
		arg := p.args[0]
		p.args = p.args[1:]
		var err error
		switch {
		case p.plain || arg == "-" || !strings.HasPrefix(arg, "-"):
			err = p.word(arg)
		case arg == "--":
			p.plain = true
		case arg == "-h", arg == "--help":
			p.help = true
		default:
			err = p.flag(arg)
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// word reads what is no flag: the name of a command or an argument.
func (p *parser) word(word string) error {
	if sub := p.at.sub(word); sub != nil && !p.plain {
		p.at = sub
		return nil
	}
	if p.words == len(p.at.args) {
		var names []string
		for _, s := range p.at.subs {
			names = append(names, s.name)
		}
		return fmt.Errorf("unexpected argument %s%s", word, meant(word, names))
	}
	v := p.at.args[p.words]
	p.words++
	v.isGiven = true
	if v.all {
		v.Set(reflect.ValueOf(append([]string{word}, p.args...)))
		p.args = nil
		return nil
	}
	return v.take(word)
}

// flag reads a flag and its value.
func (p *parser) flag(arg string) error {
	name, text, hasText := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
	v, names := p.at.find(name)
	if v == nil && p.at.preset != nil {
		if found, more := p.at.preset.find(name); found != nil {
			p.at, v = p.at.preset, found
		} else {
			names = more
		}
	}
	switch {
	case v == nil:
		name, _, _ = strings.Cut(arg, "=")
		return fmt.Errorf("unknown flag %s%s", name, meant(name, names))
	case v.Kind() == reflect.Bool && !hasText:
		text = "true"
	case !hasText && (len(p.args) == 0 || strings.HasPrefix(p.args[0], "-") && p.args[0] != "-"):
		return fmt.Errorf("--%s: its value is missing; one that starts with - is given as --%s=VALUE", name, name)
	case !hasText:
		text, p.args = p.args[0], p.args[1:]
	}
	v.isGiven = true
	return v.take(text)
}

// find returns the flag with a name, and the names of all that may be given.
func (n *node) find(name string) (found *value, names []string) {
	for ; n != nil; n = n.parent {
		for _, v := range n.flags {
			if v.name == name {
				return v, nil
			}
			names = append(names, "--"+v.name)
		}
	}
	return nil, names
}

// finish checks that nothing is missing and that what was given goes together.
func (p *parser) finish() error {
	if p.at.preset != nil {
		p.at = p.at.preset
	}
	if len(p.at.subs) > 0 {
		var names []string
		for _, s := range p.at.subs {
			names = append(names, s.name)
		}
		return fmt.Errorf("what to do is missing: %s", strings.Join(names, ", "))
	}
	var missing []string
	for _, v := range p.at.args[p.words:] {
		if !v.optional {
			missing = append(missing, "<"+v.name+">")
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s is missing", strings.Join(missing, " "))
	}
	for n := p.at; n != nil; n = n.parent {
		first := map[string]*value{}
		for _, v := range n.flags {
			if !v.isGiven || v.xor == "" {
				continue
			}
			if other := first[v.xor]; other != nil {
				return fmt.Errorf("--%s and --%s can't be used together", other.name, v.name)
			}
			first[v.xor] = v
		}
	}
	return nil
}

// take gives the argument or flag its value.
func (v *value) take(text string) error {
	name := "<" + v.name + ">"
	if v.flag {
		name = "--" + v.name
	}
	if len(v.enum) > 0 && !slices.Contains(v.enum, text) {
		return fmt.Errorf("%s: %q is none of %s", name, text, strings.Join(v.enum, ", "))
	}
	if err := set(v.Value, text); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// set reads a text into a value.
func set(v reflect.Value, text string) (err error) {
	what := v.Kind().String()
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return set(v.Elem(), text)
	case reflect.Slice:
		all := strings.Split(text, ",")
		v.Set(reflect.MakeSlice(v.Type(), len(all), len(all)))
		for i, one := range all {
			if err := set(v.Index(i), one); err != nil {
				return err
			}
		}
		return nil
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		var on bool
		on, err = strconv.ParseBool(text)
		what = "true or false"
		v.SetBool(on)
	case reflect.Int, reflect.Int64:
		var n int64
		if v.Type() == reflect.TypeFor[time.Duration]() {
			var d time.Duration
			d, err = time.ParseDuration(text)
			n, what = int64(d), "a duration such as 20s or 5m"
		} else {
			n, err = strconv.ParseInt(text, 10, v.Type().Bits())
			what = "a whole number"
		}
		v.SetInt(n)
	case reflect.Float64:
		var f float64
		f, err = strconv.ParseFloat(text, 64)
		what = "a number"
		v.SetFloat(f)
	default:
		err = errors.ErrUnsupported
	}
	if err != nil {
		return fmt.Errorf("%q is not %s", text, what)
	}
	return nil
}

// meant guesses which name was meant, for the end of an error.
func meant(word string, names []string) string {
	best, least := "", 3 // so many typing errors are too many
	for _, name := range names {
		if d := distance(word, name); d < least {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %s?", best)
}

// distance counts the letters to add, drop or change that make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
