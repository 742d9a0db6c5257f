package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// build makes a binary of this module.
func build(t *testing.T, dir, pkg string) string {
	t.Helper()
	file := filepath.Join(dir, filepath.Base(pkg))
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", "goolm", "-o", file, pkg).CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v: %s", pkg, err, out)
	}
	return file
}

// TestSmoke measures a few clients: every figure must be there, and a budget
// that nobody can meet must fail the command.
func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	load, nudge := build(t, dir, "nudge/cmd/nudgeload"), build(t, dir, "nudge/cmd/nudge")
	few := []string{"--nudge", nudge, "--clients", "20", "--contacts", "3", "--pairs", "4", "--messages", "50", "--changes", "10", "--rounds", "1", "--rest", "200ms", "--json"}
	for _, version := range []string{"2", "8"} {
		cmd := exec.CommandContext(t.Context(), load, append(few, "--msnp", version, "--max-idle-mb", "0.001")...)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
			t.Fatalf("MSNP%s: %v, want exit code %d", version, err, exitFailed)
		}
		var reps []report
		if err := json.Unmarshal(out, &reps); err != nil || len(reps) != 1 {
			t.Fatalf("MSNP%s: %v in %s", version, err, out)
		}
		if r := reps[0]; len(r.Missed) != 1 || !strings.HasPrefix(r.Missed[0], "memory without clients") {
			t.Errorf("MSNP%s: missed %q", version, r.Missed)
		}
		for _, row := range rows {
			for who, f := range map[string]*figures{"stub": &reps[0].Stub, "nudge": &reps[0].Nudge} {
				if v := *row.of(f); v <= 0 && row.of(f) != &f.ClientKB && row.of(f) != &f.RestUS && row.of(f) != &f.OthersPart { // so few may fit into what there was, and do nothing
					t.Errorf("MSNP%s: %s of %s is %v", version, row.name, who, v)
				}
			}
		}
	}
}

// TestGateway measures two clients that poll.
func TestGateway(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), build(t, dir, "nudge/cmd/nudgeload"), "--nudge", build(t, dir, "nudge/cmd/nudge"), "--gateway", "--json",
		"--clients", "2", "--contacts", "1", "--pairs", "1", "--messages", "1", "--changes", "1", "--rounds", "1", "--rest", "200ms")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	var reps []report
	if err = errors.Join(err, json.Unmarshal(out, &reps)); err != nil || len(reps) != 1 {
		t.Fatalf("%v in %s", err, out)
	}
	if r := reps[0]; !r.Gateway || r.Stub != (figures{}) || r.Nudge.RestUS <= 0 || r.Nudge.LoginUS <= 0 || r.Nudge.Messages <= 0 {
		t.Errorf("measured %+v", r)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"--nudge", "x", "--msnp", "1"}, {"--nudge", "x", "--clients", "1"}, {"--what"}} {
		var out strings.Builder
		if code := start(t.Context(), args, &out, &out); code != exitUsage {
			t.Errorf("%q: code %d, want %d: %s", args, code, exitUsage, &out)
		}
	}
}

func TestCircle(t *testing.T) {
	c := crowd{10, 3}
	for n, want := range map[int][2]int{0: {0, 4}, 3: {0, 4}, 4: {4, 8}, 9: {8, 10}} {
		if from, to := c.circle(n); from != want[0] || to != want[1] {
			t.Errorf("circle of %d: %d to %d, want %v", n, from, to, want)
		}
	}
}

func TestBudgets(t *testing.T) {
	rep := report{Nudge: figures{IdleMB: 16, ClientKB: 11, PresenceP99: 2}, Ratio: figures{LoginUS: 3, MessageUS: 2, MessageOneUS: 1, Messages: 0.7}}
	all := budgets{15, []float64{20, 10}, 2, 1.3, 0.8, 1}
	all.check(&rep, 0)
	if len(rep.Missed) != 5 {
		t.Errorf("missed %q, want all but the memory per client", rep.Missed)
	}
	rep.Missed = nil
	budgets{}.check(&rep, 0)
	budgets{17, []float64{20, 12}, 4, 3, 0.6, 3}.check(&rep, 1)
	if len(rep.Missed) != 0 {
		t.Errorf("missed %q without reason", rep.Missed)
	}
}

func TestReport(t *testing.T) {
	r := run{crowd: crowd{2, 1}, version: versions[7]}
	rep := newReport(r, []figures{{LoginUS: 1}, {LoginUS: 2}, {LoginUS: 10}}, []figures{{LoginUS: 2}, {LoginUS: 8}, {LoginUS: 10}})
	if rep.Stub.LoginUS != 2 || rep.Nudge.LoginUS != 8 || rep.Ratio.LoginUS != 2 {
		t.Errorf("medians: %v, %v, %v", rep.Stub.LoginUS, rep.Nudge.LoginUS, rep.Ratio.LoginUS)
	}
	var out strings.Builder
	rep.Missed = []string{"too much"}
	rep.print(&out)
	if !strings.Contains(out.String(), "MISSED too much") || !slices.Contains(strings.Split(out.String(), "\n"), "MSNP7, 2 clients with 1 contacts, median of 3") {
		t.Errorf("printed %s", &out)
	}
	if got := median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median %v", got)
	}
}

// TestMessage: the receiver finds number and size where it looks for them.
func TestMessage(t *testing.T) {
	m := string(appendMessage(nil, 43, 42))
	head, body, _ := strings.Cut(m, "\r\n")
	if head != "MSG 43 N 188" || len(body) != 188 || strings.TrimSpace(body[len(body)-text:]) != "42" {
		t.Errorf("%q with %d bytes: %q", head, len(body), body)
	}
}
