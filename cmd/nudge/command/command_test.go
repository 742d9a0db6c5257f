package command

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// program has what programs have.
type program struct {
	common

	Serve   serve   `cmd:"" default:"withargs" help:"Serve."`
	User    user    `cmd:"" help:"Accounts."`
	Relay   relay   `cmd:"" help:"Hand on."`
	Numbers numbers `cmd:"" help:"Count."`
}

type common struct {
	Data string `placeholder:"DIR" help:"Where; default $$HOME, which is on most machines a folder that has the user's name in it and much more."`
	JSON bool   `name:"json" help:"For scripts."`
}

type serve struct {
	MSN string `name:"msn" help:"A port."`
}

type user struct {
	Add add    `cmd:"" help:"Make one."`
	Set change `cmd:"" help:"Change one."`
}

type add struct {
	handle
	Name          string        `help:"Shown."`
	Password      string        `xor:"pw"`
	PasswordStdin bool          `xor:"pw"`
	Wait          time.Duration `default:"20s" help:"So long; default ${default}."`
}

type handle struct {
	Handle string `arg:"" help:"The account."`
}

func (add) Help() string {
	return "More words.\n\n\tuser add alice\n\n" + strings.Repeat("A paragraph. ", 10)
}

type change struct {
	Handle string  `arg:""`
	Key    string  `arg:"" enum:"name,md5"`
	Value  *string `arg:"" optional:""`
}

type relay struct {
	Args []string `arg:"" optional:"" passthrough:""`
}

type numbers struct {
	Contacts []int     `default:"1,20"`
	Ratio    float64   `default:"0.5"`
	Most     []float64 `name:"most"`
	AtOnce   int
}

func TestParse(t *testing.T) {
	text := func(s string) *string { return &s }
	for _, c := range []struct {
		line string
		want any
	}{
		{"", &serve{}},
		{"--msn :1863", &serve{MSN: ":1863"}},
		{"--data d --msn=x", &serve{MSN: "x"}},
		{"serve --msn -", &serve{MSN: "-"}},
		{"user add alice", &add{handle: handle{"alice"}, Wait: 20 * time.Second}},
		{"user --json add --name=A=b alice --data d --wait 1m", &add{handle: handle{"alice"}, Name: "A=b", Wait: time.Minute}},
		{"user add --password-stdin -- --alice", &add{handle: handle{"--alice"}, PasswordStdin: true, Wait: 20 * time.Second}},
		{"user add a --password= --json=false", &add{handle: handle{"a"}, Wait: 20 * time.Second}},
		{"user set add name", &change{Handle: "add", Key: "name"}},
		{"user set a md5 on", &change{"a", "md5", text("on")}},
		{"relay add x --url=x --help", &relay{[]string{"add", "x", "--url=x", "--help"}}},
		{"relay", &relay{}},
		{"numbers --contacts 5 --ratio 1e3 --most 1,.5 --at-once=-3", &numbers{[]int{5}, 1000, []float64{1, .5}, -3}},
		{"numbers", &numbers{Contacts: []int{1, 20}, Ratio: .5}},
	} {
		var p program
		l, err := Parse(&p, strings.Fields(c.line))
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
		} else if l.Help || !reflect.DeepEqual(l.Command, c.want) {
			t.Errorf("%s: %+v, want %+v", c.line, l.Command, c.want)
		}
	}
}

func TestMistakes(t *testing.T) {
	for line, want := range map[string]string{
		"dance":                    "unexpected argument dance",
		"user sit":                 "unexpected argument sit, did you mean set?",
		"user":                     "what to do is missing: add, set",
		"user add":                 "<handle> is missing",
		"user set":                 "<handle> <key> is missing",
		"user add a b":             "unexpected argument b",
		"user add a --nam x":       "unknown flag --nam, did you mean --name?",
		"user --name x add a":      "unknown flag --name",
		"--jso=1":                  "unknown flag --jso, did you mean --json?",
		"-x":                       "unknown flag -x",
		"--msn":                    "--msn: its value is missing; one that starts with - is given as --msn=VALUE",
		"--msn --data d":           "--msn: its value is missing; one that starts with - is given as --msn=VALUE",
		"user set a colour x":      `<key>: "colour" is none of name, md5`,
		"user add a --wait=zz":     `--wait: "zz" is not a duration such as 20s or 5m`,
		"numbers --contacts 1,two": `--contacts: "two" is not a whole number`,
		"numbers --ratio x":        `--ratio: "x" is not a number`,
		"--json=maybe":             `--json: "maybe" is not true or false`,
		"user add a --password x --password-stdin": "--password and --password-stdin can't be used together",
	} {
		var p program
		if l, err := Parse(&p, strings.Fields(line)); err == nil {
			t.Errorf("%s: was taken as %+v", line, l.Command)
		} else if err.Error() != want {
			t.Errorf("%s: %q, want %q", line, err, want)
		}
	}
	if l, err := Parse(&struct {
		Odd chan int `default:"x"`
	}{}, nil); err == nil {
		t.Errorf("a default that can't be was taken: %+v", l)
	}
}

func TestHelp(t *testing.T) {
	var all strings.Builder
	for _, line := range []string{"--help", "user -h", "user add --help", "user set --help --bogus", "relay --help", "numbers --help"} {
		var p program
		l, err := Parse(&p, strings.Fields(line))
		if err != nil || !l.Help {
			t.Fatalf("%s: %+v, %v", line, l, err)
		}
		fmt.Fprintf(&all, "$ %s\n", line)
		if err := l.WriteHelp(&all, "box", "What it is.\n\nMore of it."); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/help.txt")
	if err != nil || all.String() != string(want) {
		t.Errorf("%v; the help is\n%s", err, all.String())
	}
}

// FuzzParse reads any words: there is a command or an error with words.
func FuzzParse(f *testing.F) {
	for _, line := range []string{"", "user add a --name x", "--help", "relay a -- b", "user set a md5 --", "numbers --contacts ,", "- -- --= -=", "--json=", "--=x"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var p program
		l, err := Parse(&p, strings.Split(line, " "))
		if (err == nil) == (l == nil) || err != nil && err.Error() == "" {
			t.Fatalf("%q: %+v, %v", line, l, err)
		}
		if l != nil && l.WriteHelp(&strings.Builder{}, "box", line) != nil {
			t.Fatal("no help")
		}
	})
}
