package e2e

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"nudge/cmd/nudge/e2e/msnclient"
)

// BenchmarkTransaction is how long a homeserver waits for the 200 that says that a
// message is on the box's disk: ns/op, and the slowest of a hundred as p99-ms, with a
// real box and a homeserver that agrees to everything.
func BenchmarkTransaction(b *testing.B) {
	yes := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"user_id":"@msn_nudge:hs.test","chunk":[],"joined_rooms":[]}`)
	}))
	defer yes.Close()
	box, listen := newBox(b), loopback(freePort())
	box.AddUser(b, aliceHandle, msnclient.MSNP8)
	file := filepath.Join(b.TempDir(), "nudge.yaml")
	box.cli(b, "gateway", "add", "matrix", "--homeserver", yes.URL, "--domain", "hs.test", "--listen", listen, "--registration", file)
	text, err := os.ReadFile(file)
	check(b, err)
	token := regexp.MustCompile(`hs_token: "(.*)"`).FindSubmatch(text)[1]
	n := 0
	push := func(events string) time.Duration {
		n++
		req, err := http.NewRequest("PUT", fmt.Sprintf("http://%s/_matrix/app/v1/transactions/%d", listen, n), strings.NewReader(`{"events":[`+events+`]}`))
		check(b, err)
		req.Header.Set("Authorization", "Bearer "+string(token))
		began := time.Now()
		resp, err := http.DefaultClient.Do(req)
		check(b, err)
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			b.Fatal(resp.Status)
		}
		return time.Since(began)
	}
	push(`{"type":"m.room.member","room_id":"!r:hs.test","sender":"@msn_alice=40nudge.test:hs.test","event_id":"$join",
		"state_key":"@msn_alice=40nudge.test:hs.test","content":{"membership":"join"}}`)
	var took []time.Duration
	for b.Loop() {
		took = append(took, push(fmt.Sprintf(`{"type":"m.room.message","room_id":"!r:hs.test","sender":"@bob:hs.test","event_id":"$m%d",
			"origin_server_ts":%d,"content":{"msgtype":"m.text","body":"hello"}}`, n, time.Now().UnixMilli())))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[(len(took)-1)*99/100].Microseconds())/1000, "p99-ms")
}

// brought is what was sent, in the order in which it was brought to the box: to a service
// by transactions. A homeserver that is restarted brings what it had begun with only
// after what came later (Dendrite), which is none of the box's doing and is logged.
func (c *chaos) brought() []int {
	sent := c.sent()
	if c.door == nil {
		return sent
	}
	place := map[int]int{}
	for _, stream := range c.door.Sent() {
		for _, body := range requests(stream) {
			for _, m := range numbered.FindAllSubmatch(body, -1) {
				n, _ := strconv.Atoi(string(m[2]))
				if _, again := place[n]; !again && string(m[1]) == "in" {
					place[n] = len(place)
				}
			}
		}
	}
	var first []heard
	for _, n := range slices.SortedFunc(maps.Keys(place), func(a, b int) int { return place[a] - place[b] }) {
		first = append(first, heard{n: n})
	}
	if own := count(sent, first, nil); len(own.swapped)+len(own.lost) > 0 {
		c.t.Logf("by the homeserver: %v", own)
	}
	slices.SortStableFunc(sent, func(a, b int) int { return place[a] - place[b] })
	return sent
}
