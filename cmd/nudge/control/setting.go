package control

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"nudge/bridge"
	"nudge/store"
)

// Setting is a setting of the whole box.
type Setting struct {
	Key     string `json:"key"`
	Value   string `json:"value"`
	Default string `json:"default,omitempty"`
	Help    string `json:"help"`
}

// SettingValue sets a setting; an empty value brings the default back.
type SettingValue struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// SettingAddress is the key of the address that old PCs are told to use.
const SettingAddress = "address"

// SettingFileSpace is the key of the space for files on their way from a network to
// a browser, in MB.
const (
	SettingFileSpace = "file-space"
	DefaultFileSpace = 100
)

// settings are those there are, with what is wrong with a value.
var settings = []struct {
	Setting
	check func(value string) string
}{
	{Setting{Key: SettingAddress, Help: "name or address by which old PCs reach this box, as nudge and its assistant tell it; empty: found out by itself"}, hostWrong},
	{Setting{Key: bridge.TimeZone, Help: "time zone in which times are shown, such as Europe/Berlin; empty: that of the machine"}, zoneWrong},
	{Setting{Key: SettingSignUp, Default: "off", Help: "on: people in the home network may make accounts for themselves on the box's pages"}, switchWrong},
	{Setting{Key: bridge.NoteInName, Default: "off", Help: "on: clients before MSN 7.0 see what a contact says about himself after his name; " +
		"from their next sign-in on"}, switchWrong},
	{Setting{Key: bridge.Challenge, Default: "off", Help: "on: clients from MSN 3.6 on are asked to prove what program they are, as they once were; " +
		"strict: who does not is signed off; from their next sign-in on"}, challengeWrong},
	{Setting{Key: SettingUpstream, Help: "address of the name server that is asked for names that don't lead here, " +
		"such as 192.168.1.1; empty: they are refused"}, upstreamWrong},
	{Setting{Key: bridge.FileHours, Default: strconv.Itoa(bridge.DefaultFileHours), Help: "for how many hours a link to a file that came from Matrix or XMPP is good"}, hoursWrong},
	{Setting{Key: SettingFileSpace, Default: strconv.Itoa(DefaultFileSpace), Help: "how many MB of the disk such files may take while somebody looks at them, and those that the old clients send; larger ones can't be opened or sent"}, megabytesWrong},
	{Setting{Key: SettingLoginLive, Help: "addresses of PCs or networks for which login.live.com and other names that Microsoft still uses lead here; " +
		"never list Windows 8 or later, which itself signs in there"}, pcsWrong},
	{Setting{Key: SettingPatched, Default: "off", Help: "on: PCs that were patched for Escargot or CrossTalk are led here"}, switchWrong},
}

var (
	settingList = call[Done, []Setting]{"/setting/list", (*Box).settingList}
	settingSet  = call[SettingValue, Done]{"/setting/set", (*Box).settingSet}
)

// Settings lists every setting with its value.
func (cl *Client) Settings(ctx context.Context) ([]Setting, error) {
	return ask(ctx, cl, settingList, Done{})
}

// SetSetting changes a setting.
func (cl *Client) SetSetting(ctx context.Context, key, value string) error {
	_, err := ask(ctx, cl, settingSet, SettingValue{key, value})
	return err
}

func (b *Box) settingList(context.Context, Done) ([]Setting, error) {
	all := []Setting{}
	err := b.Store.View(func(tx *store.Tx) error {
		for _, s := range settings {
			s.Value = tx.Setting(s.Key)
			if s.Value == "" {
				s.Value = s.Default
			}
			all = append(all, s.Setting)
		}
		return nil
	})
	return all, err
}

func (b *Box) settingSet(ctx context.Context, v SettingValue) (Done, error) {
	for _, s := range settings {
		if s.Key != v.Key {
			continue
		}
		if why := s.check(v.Value); v.Value != "" && why != "" {
			return Done{}, fmt.Errorf("%s can't be %q: %s", v.Key, v.Value, why)
		}
		err := b.Store.Update(ctx, func(tx *store.Tx) error { return tx.PutSetting(v.Key, v.Value) })
		if err == nil && v.Key == bridge.TimeZone {
			b.Hub.SetZone(v.Value)
		}
		if err == nil && v.Key == bridge.FileHours {
			b.Hub.SetFileHours(v.Value)
		}
		if err == nil && b.SettingsChanged != nil {
			b.SettingsChanged()
		}
		return Done{}, err
	}
	return Done{}, fmt.Errorf("there is no setting %q; nudge setting shows all", v.Key)
}

func zoneWrong(v string) string {
	if _, err := time.LoadLocation(v); err != nil || strings.ContainsAny(v, " \t") {
		return "it must be a time zone, such as Europe/Berlin or UTC"
	}
	return ""
}

func switchWrong(v string) string {
	if v != On && v != "off" {
		return "it must be on or off"
	}
	return ""
}

func challengeWrong(v string) string {
	if v != On && v != "off" && v != bridge.ChallengeStrict {
		return "it must be off, on or strict"
	}
	return ""
}

func hoursWrong(v string) string {
	if n, err := strconv.Atoi(v); err != nil || n < 1 || n > 720 {
		return "it must be a number of hours, from 1 to 720"
	}
	return ""
}

func megabytesWrong(v string) string {
	if n, err := strconv.Atoi(v); err != nil || n < 1 || n > 100_000 {
		return "it must be a number of MB, from 1 to 100000"
	}
	return ""
}

func hostWrong(v string) string {
	if len(v) > 253 || strings.ContainsFunc(v, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`/\@"'<>`, r)
	}) {
		return "it must be a host name or an IP address, such as 192.168.1.20"
	}
	return ""
}
