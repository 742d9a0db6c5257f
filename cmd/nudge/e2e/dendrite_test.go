package e2e

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

const dendritePackage = "github.com/element-hq/dendrite/cmd/dendrite"

// dendriteBinary builds Dendrite with the nested module homeserver (with cgo: its
// SQLite without breaks for good when a request is cut), unless the
// cache has one made from the same go.sum.
var dendriteBinary = sync.OnceValues(func() (string, error) {
	module, err := filepath.Abs("homeserver")
	if err != nil {
		return "", err
	}
	sums, err := os.ReadFile(filepath.Join(module, "go.sum"))
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(sums)
	file := filepath.Join(cache, "nudge-e2e", "dendrite-cgo-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", err
	}
	fresh := fmt.Sprintf("%s.%d", file, os.Getpid()) // two test runs may build at once
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", fresh, dendritePackage)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building Dendrite: %w\n%s", err, out)
	}
	return file, os.Rename(fresh, file)
})

func (s *server) dendrite() error {
	program, err := dendriteBinary()
	if err != nil {
		return err
	}
	s.Domain = "hs.test"
	s.settings.Domain = s.Domain
	seed := make([]byte, 32)
	rand.Read(seed)
	key := pem.EncodeToMemory(&pem.Block{
		Type: "MATRIX PRIVATE KEY", Headers: map[string]string{"Key-ID": "ed25519:test"}, Bytes: seed,
	})
	if err := os.WriteFile(filepath.Join(s.Dir, "matrix_key.pem"), key, 0o600); err != nil {
		return err
	}
	config, err := s.configure("dendrite.yaml")
	if err != nil {
		return err
	}
	s.command = []string{program, "--config", config, "--http-bind-address", s.Addr()}
	s.register = s.registerMatrix
	return nil
}

// registerMatrix makes an account by the shared secret, as Synapse's admin API
// has it.
func (s *server) registerMatrix(user, password string) error {
	url := "http://" + s.Addr() + "/_synapse/admin/v1/register"
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var nonce struct{ Nonce string }
	if err := json.NewDecoder(resp.Body).Decode(&nonce); err != nil {
		return err
	}
	mac := hmac.New(sha1.New, []byte(s.settings.Secret))
	mac.Write([]byte(strings.Join([]string{nonce.Nonce, user, password, "notadmin"}, "\x00")))
	body, err := json.Marshal(struct {
		Nonce    string `json:"nonce"`
		Username string `json:"username"`
		Password string `json:"password"`
		Admin    bool   `json:"admin"`
		MAC      string `json:"mac"`
	}{nonce.Nonce, user, password, false, hex.EncodeToString(mac.Sum(nil))})
	if err != nil {
		return err
	}
	return post(url, body)
}
