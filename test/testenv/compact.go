package testenv

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Compact has etcd forget every revision before the present one, as the API
// server has it do every few minutes with older ones.
func (e *Env) Compact(ctx context.Context) error {
	var now struct {
		Header struct{ Revision string }
	}
	if err := e.ask(ctx, "range", map[string]any{"key": []byte("/"), "limit": "1"}, &now); err != nil {
		return err
	}
	return e.ask(ctx, "compaction", map[string]any{"revision": now.Header.Revision, "physical": true}, &struct{}{})
}

// ask asks etcd over its JSON gateway.
func (e *Env) ask(ctx context.Context, what string, body, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("ask etcd for %s: %w", what, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.etcd+"/v3/kv/"+what, bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("ask etcd for %s: %w", what, err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask etcd for %s: %w", what, err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP %d: %s", answer.StatusCode, said)
	}
	if err == nil {
		err = json.Unmarshal(said, into)
	}
	if err != nil {
		return fmt.Errorf("ask etcd for %s: %w", what, err)
	}
	return nil
}
