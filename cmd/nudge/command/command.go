// Package command reads a command line into structs and explains it.
//
// A command is a struct. Its fields, by their tags, are
//
//	cmd:""          a command below it, itself such a struct
//	arg:""          an argument, in the order of the fields
//	(neither)       a flag, of this command and of all below it
//
// Fields of embedded structs count as those of the struct around them. More tags:
// name (else made of the field's: AtOnce is at-once), help (in which ${default}
// stands for that of the field, and $$ for $), default, placeholder (of a flag's
// value, in the help), optional (an argument that may be missing), enum (values
// with commas between), xor (of the flags with the same word only one may be
// given), passthrough (an argument that takes all that follows it, a []string), and
// for one command of a struct default:"withargs": it is meant when none is named.
// A command with a method Help() string has more to say for itself.
//
// Values are strings, numbers, booleans, durations, slices of these (with commas
// between) and pointers to them (nil when they were not given).
//
// The package is small on purpose: one that calls methods by their names, as those
// for command lines and templates do, makes the linker keep every method of every
// type, which is megabytes.
package command

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"
)

// Line is a command line that was read.
type Line struct {
	Command any  // points to the struct of the command that was named
	Help    bool // asked for; then nothing else of the line was checked

	at *node
}

// node is one command.
type node struct {
	name, help string
	target     reflect.Value
	parent     *node
	subs       []*node
	preset     *node // of subs, the one that is meant when none is named
	args       []*value
	flags      []*value
}

// value is an argument or a flag.
type value struct {
	reflect.Value
	name, help, preset, placeholder, xor string

	enum                         []string
	flag, optional, all, isGiven bool
}

// Parse reads args into root, which points to the struct of the program.
func Parse(root any, args []string) (*Line, error) {
	at := &node{target: reflect.ValueOf(root).Elem()}
	if err := at.describe(at.target); err != nil {
		return nil, err
	}
	p := parser{at: at, args: args}
	err := p.read()
	if err == nil && !p.help {
		err = p.finish()
	}
	if err != nil && !p.help {
		return nil, err
	}
	return &Line{Command: p.at.target.Addr().Interface(), Help: p.help, at: p.at}, nil
}

// describe adds what the fields of a struct are.
func (n *node) describe(s reflect.Value) error {
	for i := range s.NumField() {
		field, target := s.Type().Field(i), s.Field(i)
		tag := field.Tag
		if field.Anonymous {
			if err := n.describe(target); err != nil {
				return err
			}
			continue
		}
		name := tag.Get("name")
		if name == "" {
			name = kebab(field.Name)
		}
		if _, ok := tag.Lookup("cmd"); ok {
			sub := &node{name: name, help: tag.Get("help"), target: target, parent: n}
			if tag.Get("default") != "" {
				n.preset = sub
			}
			n.subs = append(n.subs, sub)
			if err := sub.describe(target); err != nil {
				return err
			}
			continue
		}
		v := &value{Value: target, name: name, preset: tag.Get("default"), placeholder: tag.Get("placeholder"), xor: tag.Get("xor")}
		v.help = strings.NewReplacer("${default}", v.preset, "$$", "$").Replace(tag.Get("help"))
		if all := tag.Get("enum"); all != "" {
			v.enum = strings.Split(all, ",")
		}
		_, v.optional = tag.Lookup("optional")
		_, v.all = tag.Lookup("passthrough")
		if v.preset != "" {
			if err := set(target, v.preset); err != nil {
				return fmt.Errorf("default of %s: %w", name, err)
			}
		}
		if _, ok := tag.Lookup("arg"); ok {
			n.args = append(n.args, v)
		} else {
			v.flag = true
			n.flags = append(n.flags, v)
		}
	}
	return nil
}

// kebab writes AtOnce as at-once.
func kebab(name string) string {
	var b strings.Builder
	small := false
	for _, r := range name {
		if unicode.IsUpper(r) && small {
			b.WriteByte('-')
		}
		small = !unicode.IsUpper(r)
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// path is what a person types for the command, without the program.
func (n *node) path() string {
	if n.parent == nil {
		return ""
	}
	return strings.TrimSpace(n.parent.path() + " " + n.name)
}

// sub is the command below with a name, nil when there is none.
func (n *node) sub(name string) *node {
	for _, s := range n.subs {
		if s.name == name {
			return s
		}
	}
	return nil
}
