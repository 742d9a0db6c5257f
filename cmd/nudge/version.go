package main

import (
	"cmp"
	"runtime"
	"runtime/debug"
	"time"
)

// versionCmd shows the version.
type versionCmd struct{}

// Help is the example.
func (versionCmd) Help() string { return "Example:\n\n\tnudge version --json" }

// Run shows the version.
func (versionCmd) Run(e *env) error {
	v := struct {
		Version string    `json:"version"`
		Built   time.Time `json:"built,omitzero"`
		Go      string    `json:"go"`
		System  string    `json:"system"`
	}{version(), built(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	return e.say(v, "nudge %s (%s, %s)", v.Version, v.Go, v.System)
}

// version is what the build recorded: a release, or a revision of the source.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	return cmp.Or(buildSetting(info, "vcs.revision"), "unreleased")
}

// built is when the source was committed, zero when the build recorded nothing.
func built() time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, buildSetting(info, "vcs.time"))
	if err != nil {
		return time.Time{}
	}
	return t
}

func buildSetting(info *debug.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}
