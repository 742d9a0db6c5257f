package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// report is what came of all rounds with one size of lists.
type report struct {
	Version  string
	Gateway  bool // clients came over HTTP, and there was no stub
	Clients  int
	Contacts int
	Rounds   int
	Stub     figures // medians
	Nudge    figures
	Ratio    figures  // of Nudge to the stub: median of the rounds' ratios
	Missed   []string // budgets
}

// row is one line of the table.
type row struct {
	name, unit string
	of         func(*figures) *float64
	shape      string // of its numbers
}

var rows = []row{
	{"memory without clients", "MB", func(f *figures) *float64 { return &f.IdleMB }, "%.1f"},
	{"memory per silent client", "kB", func(f *figures) *float64 { return &f.ClientKB }, "%.1f"},
	{"processor time of one in a second", "µs", func(f *figures) *float64 { return &f.RestUS }, "%.1f"},
	{"processor time per sign-in", "µs", func(f *figures) *float64 { return &f.LoginUS }, "%.0f"},
	{"sign-ins", "/s", func(f *figures) *float64 { return &f.Logins }, "%.0f"},
	{"sign-in takes, median", "ms", func(f *figures) *float64 { return &f.LoginMS }, "%.2f"},
	{"presence is seen after, median", "ms", func(f *figures) *float64 { return &f.PresenceMS }, "%.3f"},
	{"presence is seen after, p99", "ms", func(f *figures) *float64 { return &f.PresenceP99 }, "%.3f"},
	{"one message at a time: processor time", "µs", func(f *figures) *float64 { return &f.MessageOneUS }, "%.1f"},
	{"one message at a time: median", "ms", func(f *figures) *float64 { return &f.MessageMS }, "%.3f"},
	{"one message at a time: p99", "ms", func(f *figures) *float64 { return &f.MessageP99 }, "%.3f"},
	{"many: processor time of a message", "µs", func(f *figures) *float64 { return &f.MessageUS }, "%.2f"},
	{"many: messages", "/s", func(f *figures) *float64 { return &f.Messages }, "%.0f"},
	{"many: others use of the server's core", "%", func(f *figures) *float64 { return &f.OthersPart }, "%.0f"},
}

// newReport takes the medians of the rounds; there may be no stubs.
func newReport(r run, stubs, nudges []figures) report {
	rep := report{Version: r.version.name, Gateway: r.gateway, Clients: r.size, Contacts: r.contacts, Rounds: len(nudges)}
	for _, row := range rows {
		var stub, nudge, ratio []float64
		for i := range nudges {
			n := *row.of(&nudges[i])
			nudge = append(nudge, n)
			if i < len(stubs) {
				s := *row.of(&stubs[i])
				if stub = append(stub, s); s != 0 {
					ratio = append(ratio, n/s)
				}
			}
		}
		*row.of(&rep.Stub), *row.of(&rep.Nudge), *row.of(&rep.Ratio) = median(stub), median(nudge), median(ratio)
	}
	return rep
}

func median(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	slices.Sort(x)
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

// budgets are the most, or the least, that Nudge may show. Zero is no budget.
type budgets struct {
	MaxIdleMB       float64   `name:"max-idle-mb" placeholder:"MB" help:"Memory without clients."`
	MaxClientKB     []float64 `name:"max-client-kb" placeholder:"KB,…" help:"Memory per silent client, for each of --contacts."`
	MaxLoginRatio   float64   `name:"max-login-ratio" placeholder:"X" help:"Processor time of a sign-in, in that of the stub."`
	MaxMessageRatio float64   `name:"max-message-ratio" placeholder:"X" help:"Processor time of a message when many are on their way, in that of the stub."`
	MinRateRatio    float64   `name:"min-rate-ratio" placeholder:"X" help:"Messages a second, in those of the stub."`
	MaxPresenceMS   float64   `name:"max-presence-ms" placeholder:"MS" help:"Until 99 of 100 contacts have seen a change."`
}

// check notes which budgets rep misses; i counts the sizes of lists.
func (b budgets) check(rep *report, i int) {
	most := func(what string, is, may float64) {
		if may > 0 && is > may {
			rep.Missed = append(rep.Missed, fmt.Sprintf("%s: %.4g, at most %.4g wanted", what, is, may))
		}
	}
	most("memory without clients, MB", rep.Nudge.IdleMB, b.MaxIdleMB)
	if i < len(b.MaxClientKB) {
		most("memory per silent client, kB", rep.Nudge.ClientKB, b.MaxClientKB[i])
	}
	most("processor time of a sign-in, in the stub's", rep.Ratio.LoginUS, b.MaxLoginRatio)
	most("processor time of a message, many, in the stub's", rep.Ratio.MessageUS, b.MaxMessageRatio)
	most("presence p99, ms", rep.Nudge.PresenceP99, b.MaxPresenceMS)
	if rep.Ratio.Messages < b.MinRateRatio {
		rep.Missed = append(rep.Missed, fmt.Sprintf("messages a second, in the stub's: %.4g, at least %.4g wanted", rep.Ratio.Messages, b.MinRateRatio))
	}
}

// print writes the table for people.
func (rep report) print(out io.Writer) {
	over := ""
	if rep.Gateway {
		over = " over HTTP"
	}
	fmt.Fprintf(out, "%s%s, %d clients with %d contacts, median of %d\n", rep.Version, over, rep.Clients, rep.Contacts, rep.Rounds)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tstub\tnudge\tratio\t")
	for _, r := range rows {
		if rep.Gateway {
			fmt.Fprintf(w, "%s, %s\t–\t"+r.shape+"\t–\t\n", r.name, r.unit, *r.of(&rep.Nudge))
			continue
		}
		fmt.Fprintf(w, "%s, %s\t"+r.shape+"\t"+r.shape+"\t%.2f\t\n", r.name, r.unit, *r.of(&rep.Stub), *r.of(&rep.Nudge), *r.of(&rep.Ratio))
	}
	w.Flush()
	for _, m := range rep.Missed {
		fmt.Fprintln(out, "MISSED", m)
	}
	fmt.Fprintln(out)
}

func printJSON(out io.Writer, reps []report) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(reps)
}
