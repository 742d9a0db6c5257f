package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"nudge/bridge"
)

// call is one action of the API: POST to path with an In answers with an Out.
type call[In, Out any] struct {
	path string
	do   func(*Box, context.Context, In) (Out, error)
}

// route is a call as the server sees it.
type route interface {
	serve(b *Box, mux *http.ServeMux)
}

// routes is the whole API, but for the backup, which is no JSON.
var routes = []route{
	userAdd, userList, userSet, userPassword, userRemove, userImport,
	networkList, linkAdd, linkList, linkSet, linkAnswer, linkTest, linkRemove,
	gatewayForms, gatewayAdd, gatewayList, gatewaySet, gatewayRemove,
	contactAdd, contactList, contactRemove,
	settingList, settingSet,
	statusGet, doctorRun, lightsTest, pairingOpen, rootGet, recordRun, recordStop,
	userCheck, userJoin, boxClaim, todayList, logTail, mediumList, mediumBackup,
}

// maxRequest bounds a request's body; the largest is an import.
const maxRequest = 64 << 20

// failure is how an error is sent.
type failure struct {
	Error string `json:"error"`
}

func (c call[In, Out]) serve(b *Box, mux *http.ServeMux) {
	mux.HandleFunc("POST "+c.path, func(w http.ResponseWriter, r *http.Request) {
		var in In
		answer(w, r, &in, func() (any, error) {
			b.Log.Debug("owner's call", "path", c.path)
			return c.do(b, r.Context(), in)
		})
	})
}

// answer reads a request into in, does what it asks for and writes what came of it. It
// is no part of serve, nor call one of ask, because those are compiled anew for each
// route.
func answer(w http.ResponseWriter, r *http.Request, in any, do func() (any, error)) {
	err := readJSON(w, r, in)
	var out any
	if err == nil {
		out, err = do()
	}
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

func readJSON(w http.ResponseWriter, r *http.Request, in any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	d.DisallowUnknownFields()
	if err := d.Decode(in); err != nil {
		return fmt.Errorf("the request can't be read: %w", err)
	}
	return nil
}

func writeJSON(w http.ResponseWriter, status int, out any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(out) // fails only when the caller is gone
}

func writeError(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	if errors.Is(err, bridge.ErrNoAccount) {
		status = http.StatusNotFound
	}
	writeJSON(w, status, failure{err.Error()})
}

// ask makes a call through a client.
func ask[In, Out any](ctx context.Context, cl *Client, c call[In, Out], in In) (out Out, err error) {
	if cl.box != nil {
		return c.do(cl.box, ctx, in)
	}
	err = cl.call(ctx, c.path, in, &out)
	return out, err
}

// call sends a request and reads the answer into out.
func (cl *Client) call(ctx context.Context, path string, in, out any) error {
	resp, err := cl.post(ctx, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("the box's answer can't be read: %w", err)
	}
	return nil
}

// post sends a request and turns an error answer into an error.
func (cl *Client) post(ctx context.Context, path string, in any) (*http.Response, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://nudge"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := cl.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("the box did not answer: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var f failure
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&f); err != nil || f.Error == "" {
		return nil, fmt.Errorf("the box answers %s to %s; it may be another version: restart it", resp.Status, path)
	}
	return nil, errors.New(f.Error)
}
