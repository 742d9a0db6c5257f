package template

import (
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// value is what an expression comes to.
type value = reflect.Value

func of(v any) value { return reflect.ValueOf(v) }

type variable struct {
	name  string
	value value
}

// execution is one page being made.
type execution struct {
	t    *Template
	w    io.Writer
	vars []variable
}

// all runs nodes; variables of theirs end with them.
func (x *execution) all(nodes []node, dot value) error {
	known := len(x.vars)
	defer func() { x.vars = x.vars[:known] }()
	for _, n := range nodes {
		if err := n.run(x, dot); err != nil {
			return err
		}
	}
	return nil
}

func (t text) run(x *execution, _ value) error {
	_, err := io.WriteString(x.w, string(t))
	return err
}

func (o output) run(x *execution, dot value) error {
	v, err := o.what.eval(x, dot)
	if err != nil {
		return err
	}
	s, err := show(v)
	if err == nil {
		_, err = io.WriteString(x.w, o.as(s))
	}
	return err
}

func (a assign) run(x *execution, dot value) error {
	v, err := a.what.eval(x, dot)
	x.vars = append(x.vars, variable{a.name, v})
	return err
}

func (c call) run(x *execution, dot value) error {
	v, err := c.what.eval(x, dot)
	if err != nil {
		return err
	}
	body, known := x.t.parts[c.name]
	if !known {
		return fmt.Errorf("there is no part %q", c.name)
	}
	in := &execution{t: x.t, w: x.w, vars: []variable{{"$", v}}}
	return in.all(body, v)
}

func (b branch) run(x *execution, dot value) error {
	v, err := b.what.eval(x, dot)
	if err != nil {
		return err
	}
	switch {
	case !truth(v):
		return x.all(b.or, dot)
	case b.word == "if":
		return x.all(b.then, dot)
	case b.word == "with":
		return x.all(b.then, v)
	}
	v = solid(v)
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			if err := b.round(x, of(i), v.Index(i)); err != nil {
				return err
			}
		}
	case reflect.Map:
		for _, k := range slices.Sorted(maps.Keys(v.Interface().(map[string]string))) {
			if err := b.round(x, of(k), v.MapIndex(of(k))); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("range over %s", v.Kind())
	}
	return nil
}

func (b branch) round(x *execution, key, v value) error {
	known := len(x.vars)
	defer func() { x.vars = x.vars[:known] }()
	if b.key != "" {
		x.vars = append(x.vars, variable{b.key, key})
	}
	if b.value != "" {
		x.vars = append(x.vars, variable{b.value, v})
	}
	return x.all(b.then, v)
}

// solid follows pointers and interfaces; it is invalid where they end in nothing.
func solid(v value) value {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	return v
}

// truth tells whether something is there: not zero, not empty, not nil.
func truth(v value) bool {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Invalid:
		return false
	case reflect.Slice, reflect.Map, reflect.String:
		return v.Len() > 0
	case reflect.Struct:
		return true
	}
	return !v.IsZero()
}

// show is a value as text.
func show(v value) (string, error) {
	v = solid(v)
	switch v.Kind() {
	case reflect.Invalid:
		return "", nil
	case reflect.String:
		return v.String(), nil
	case reflect.Int:
		return strconv.FormatInt(v.Int(), 10), nil
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), nil
	}
	return "", fmt.Errorf("a %s can't be shown", v.Type())
}

// expr is an operand, or a function with its arguments.
type expr interface {
	eval(x *execution, dot value) (value, error)
}

type (
	constant struct{ v any }
	// fields are those of a variable, or of the dot when it has no name.
	fields struct {
		of    string
		names []string
	}
	function struct {
		name string
		args []expr
	}
)

func (c constant) eval(*execution, value) (value, error) { return of(c.v), nil }

func (f fields) eval(x *execution, dot value) (value, error) {
	v := dot
	if f.of != "" {
		i := len(x.vars) - 1
		for i >= 0 && x.vars[i].name != f.of {
			i--
		}
		if i < 0 {
			return v, fmt.Errorf("there is no variable %s", f.of)
		}
		v = x.vars[i].value
	}
	for _, name := range f.names {
		v = solid(v)
		if v.Kind() != reflect.Struct {
			return v, fmt.Errorf("there is nothing that has a field %s", name)
		}
		if v = v.FieldByName(name); !v.IsValid() {
			return v, fmt.Errorf("there is no field %s", name)
		}
	}
	return v, nil
}

func (f function) eval(x *execution, dot value) (value, error) {
	var args []any
	for i, a := range f.args {
		v, err := a.eval(x, dot)
		if err != nil {
			return v, err
		}
		last := i == len(f.args)-1
		if f.name == "or" && (truth(v) || last) || f.name == "and" && (!truth(v) || last) {
			return v, nil
		}
		if v = solid(v); v.IsValid() {
			args = append(args, v.Interface())
		} else {
			args = append(args, nil)
		}
	}
	if own, ok := x.t.funcs[f.name]; ok {
		return of(own(args...)), nil
	}
	return builtin(f.name, args)
}

// builtin calls one of the language's own functions.
func builtin(name string, args []any) (value, error) {
	same := func() bool { return len(args) == 2 && fmt.Sprint(args[0]) == fmt.Sprint(args[1]) }
	switch {
	case name == "not" && len(args) == 1:
		return of(!truth(of(args[0]))), nil
	case name == "eq" && len(args) == 2:
		return of(same()), nil
	case name == "ne" && len(args) == 2:
		return of(!same()), nil
	case name == "len" && len(args) == 1:
		if v := of(args[0]); v.Kind() == reflect.Slice || v.Kind() == reflect.String {
			return of(v.Len()), nil
		}
	case name == "printf" && len(args) > 0:
		format, _ := args[0].(string)
		return of(fmt.Sprintf(format, args[1:]...)), nil
	case name == "gt" && len(args) == 2:
		x, ok := args[0].(int)
		y, is := args[1].(int)
		if ok && is {
			return of(x > y), nil
		}
	case name == "index" && len(args) == 2:
		m, ok := args[0].(map[string]string)
		key, is := args[1].(string)
		if ok && is {
			return of(m[key]), nil
		}
	}
	return value{}, fmt.Errorf("%s can't be called with %d such arguments", name, len(args))
}

// parseExpr reads an expression.
func parseExpr(source string) (expr, error) {
	e, rest, err := operands(strings.TrimSpace(source))
	if err == nil && rest != "" {
		err = fmt.Errorf("%q is left over", rest)
	}
	return e, err
}

// operands reads up to a closing parenthesis or the end.
func operands(s string) (e expr, rest string, err error) {
	var all []expr
	for s = strings.TrimLeft(s, blanks); s != "" && s[0] != ')'; s = strings.TrimLeft(s, blanks) {
		var one expr
		if one, s, err = operand(s); err != nil {
			return nil, "", err
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		return nil, s, fmt.Errorf("something is missing")
	}
	if f, is := all[0].(function); is && f.args == nil {
		f.args = all[1:]
		return f, s, nil
	}
	if len(all) > 1 {
		return nil, s, fmt.Errorf("what is no function has arguments")
	}
	return all[0], s, nil
}

func operand(s string) (e expr, rest string, err error) {
	switch c := s[0]; {
	case c == '(':
		e, rest, err = operands(s[1:])
		if err == nil && !strings.HasPrefix(rest, ")") {
			err = fmt.Errorf("a parenthesis is open")
		}
		return parenthesis{e}, strings.TrimPrefix(rest, ")"), err
	case c == '"':
		quoted, err := strconv.QuotedPrefix(s)
		if err != nil {
			return nil, "", err
		}
		plain, err := strconv.Unquote(quoted)
		return constant{plain}, s[len(quoted):], err
	}
	end := strings.IndexAny(s, blanks+"()")
	if end < 0 {
		end = len(s)
	}
	word, rest := s[:end], s[end:]
	if n, err := strconv.Atoi(word); err == nil {
		return constant{n}, rest, nil
	}
	if word[0] != '.' && word[0] != '$' {
		return function{name: word}, rest, nil
	}
	name, path, _ := strings.Cut(word, ".")
	f := fields{of: name}
	if path != "" {
		f.names = strings.Split(path, ".")
	}
	return f, rest, nil
}

// parenthesis keeps a function with its arguments from being taken for one without.
type parenthesis struct{ expr }
