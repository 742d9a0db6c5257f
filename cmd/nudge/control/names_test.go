package control

import (
	"fmt"
	"strings"
	"testing"
)

func TestNameValues(t *testing.T) {
	for value, want := range map[string]string{
		"": "invalid AddrPort", "192.168.1.1": "192.168.1.1:53", "192.168.1.1:5353": "192.168.1.1:5353", "fd00::1": "[fd00::1]:53", "[fd00::1]:54": "[fd00::1]:54",
		"router": "error", "0.0.0.0": "error", "192.168.1.1:0": "error", "192.168.1.1 192.168.1.2": "error",
	} {
		got, err := Upstream(value)
		text := got.String()
		if err != nil {
			text = "error"
		}
		if text != want {
			t.Errorf("upstream %q: %s, %v", value, text, err)
		}
	}
	for value, want := range map[string]string{
		"": "[]", "192.168.1.30": "[192.168.1.30/32]", " 192.168.1.30,  10.0.0.0/8 ": "[192.168.1.30/32 10.0.0.0/8]", "fe80::1": "[fe80::1/128]",
		"0.0.0.0/0": "error", "xp": "error", "192.168.1.300": "error", strings.Repeat("10.0.0.1 ", mostPCs+1): "error",
	} {
		got, err := PCs(value)
		text := fmt.Sprint(got)
		if err != nil {
			text = "error"
		}
		if text != want {
			t.Errorf("PCs %.40q: %s, %v", value, text, err)
		}
	}
}

func TestNameSettings(t *testing.T) {
	both(t, func(t *testing.T, _ *house, cl *Client) {
		ctx := t.Context()
		wantErr(t, cl.SetSetting(ctx, SettingUpstream, "router"), "must be the address of a name server")
		wantErr(t, cl.SetSetting(ctx, SettingLoginLive, "0.0.0.0/0"), "addresses of PCs")
		wantErr(t, cl.SetSetting(ctx, SettingPatched, "yes"), "on or off")
		for key, value := range map[string]string{SettingUpstream: "192.168.1.1", SettingLoginLive: "192.168.1.30", SettingPatched: On} {
			if err := cl.SetSetting(ctx, key, value); err != nil {
				t.Error(err)
			}
		}
	})
}
