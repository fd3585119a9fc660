package testenv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Use is one request of one of Backstop's ServiceAccounts, as the audit log has it.
type Use struct {
	// User that asked, system:serviceaccount:NAMESPACE:NAME.
	User string
	// Verb as RBAC knows it: get, list, watch, create, patch, …
	Verb string
	// Group, Resource and Subresource asked for; Path instead for what is no resource.
	Group, Resource, Subresource, Path string
	// Namespace and Name of the object, as far as the request names one.
	Namespace, Name string
	// Code is the HTTP status of the answer; 403 is a refusal by RBAC or admission.
	Code int
	// At is when it arrived.
	At time.Time
}

// Audit reads what Backstop's ServiceAccounts asked for so far, in order. A
// watch is there only once it has begun to answer.
func (e *Env) Audit() ([]Use, error) {
	text, err := os.ReadFile(e.AuditLog)
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	var uses []Use
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // still being written
		}
		var event struct {
			Verb       string
			RequestURI string
			User       struct{ Username string }
			ObjectRef  struct{ Resource, Namespace, Name, APIGroup, Subresource string }
			Status     struct{ Code int } `json:"responseStatus"`
			At         time.Time          `json:"requestReceivedTimestamp"`
		}
		if err := json.Unmarshal(line, &event); err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		use := Use{
			User: event.User.Username, Verb: event.Verb, Code: event.Status.Code,
			Group: event.ObjectRef.APIGroup, Resource: event.ObjectRef.Resource, Subresource: event.ObjectRef.Subresource,
			Namespace: event.ObjectRef.Namespace, Name: event.ObjectRef.Name, At: event.At,
		}
		if use.Resource == "" {
			use.Path = event.RequestURI
		}
		uses = append(uses, use)
	}
	return uses, nil
}
