package forgestub

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
)

// What a provider publishes of its API is held against every request that a stub gets, and against every answer that it
// gives by itself: method and path, parameters, the fields of bodies, their types, and the values that are enumerated.

//go:embed descriptions
var descriptions embed.FS

// description is an excerpt of what a provider publishes: the operations that Backstop uses, with their parameters, and
// of the types the fields that are read or given here. A type is string, integer, boolean or object, the name of one
// of Types, [T] for a list, 'a'|'b' for enumerated values; with a ? it may be null.
type description struct {
	// Of is the document and its version.
	Of         string                       `json:"of"`
	Operations map[string]operation         `json:"operations"`
	Types      map[string]map[string]string `json:"types"`
	// Graph are types of GraphQL: of each field the type, and in parentheses the names of what it takes.
	Graph map[string]map[string]string `json:"graphql"`
}

// operation is one of the API. A field of a body that is required ends in an exclamation mark.
type operation struct {
	Query   map[string]string `json:"query"`
	Body    map[string]string `json:"body"`
	Answers map[string]string `json:"answers"`
}

// everywhere are the answers that no operation has to describe.
var everywhere = []int{http.StatusNotModified, http.StatusMovedPermanently, http.StatusTemporaryRedirect,
	http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound}

func described(kind Kind) (*description, error) {
	raw, err := descriptions.ReadFile("descriptions/" + strings.ToLower(string(kind)) + ".json")
	if err != nil {
		return nil, fmt.Errorf("read the description: %w", err)
	}
	var d description
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, fmt.Errorf("parse the description of %s: %w", kind, err)
	}
	return &d, nil
}

// Undescribed lists what was asked or answered that is not as the provider describes its API.
func (f *Forge) Undescribed() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.undescribed)
}

// hold holds a request and its answer against the description.
func (f *Forge) hold(c call, sent []byte, answer *httptest.ResponseRecorder) {
	// A repository has an address by its number, too, which is the same to every operation.
	path := strings.Replace(c.path, "repositories/1", "repos/"+f.project(), 1)
	at, op, ok := f.described.operation(c.r.Method, path)
	said := func(format string, args ...any) {
		f.undescribed = append(f.undescribed, at+": "+fmt.Sprintf(format, args...))
	}
	if !ok {
		said("is not described")
		return
	}
	for name, values := range c.r.URL.Query() {
		if expr, ok := op.Query[name]; !ok {
			said("has no parameter %s", name)
		} else if why := f.described.parameter(values[0], expr); why != "" {
			said("parameter %s %s", name, why)
		}
	}
	if len(sent) > 0 && op.Body["*"] == "" {
		f.described.body(sent, op.Body, said)
	}
	if c.path == "graphql" {
		if why := f.described.graph(c.text("query")); why != "" {
			said("%s", why)
		}
	}
	expr, ok := op.Answers[fmt.Sprint(answer.Code)]
	if !ok && answer.Code < 500 && !slices.Contains(everywhere, answer.Code) {
		said("does not answer %d", answer.Code)
	}
	var got any
	if !ok || answer.Body.Len() == 0 || json.Unmarshal(answer.Body.Bytes(), &got) != nil {
		return
	}
	if why := f.described.fits(got, expr); why != "" {
		said("answers %d with what %s", answer.Code, why)
	}
}

// operation finds one by its method and path: the one whose segments are the same, but for those in braces.
func (d *description) operation(method, path string) (string, operation, bool) {
	segments := strings.Split(strings.Trim(path, "/"), "/")
	for _, name := range slices.Sorted(maps.Keys(d.Operations)) {
		verb, form, _ := strings.Cut(name, " ")
		want := strings.Split(strings.Trim(form, "/"), "/")
		if verb == method && slices.EqualFunc(want, segments, meant) {
			return name, d.Operations[name], true
		}
	}
	return method + " /" + path, operation{}, false
}

// meant reports whether a segment of a path is what a form of it means.
func meant(form, segment string) bool {
	switch {
	case form == "{index}.{diffType}":
		return strings.Contains(segment, ".")
	case form == "{index}":
		return !strings.Contains(segment, ".")
	}
	return strings.HasPrefix(form, "{") || form == segment
}

// parameter explains why a value of the query is none of a type.
func (d *description) parameter(value, expr string) string {
	var v any = value
	if expr == "integer" || expr == "boolean" {
		if json.Unmarshal([]byte(value), &v) != nil {
			return "is " + value
		}
	}
	return d.fits(v, expr)
}

// body holds what is sent against the fields that an operation takes.
func (d *description) body(sent []byte, fields map[string]string, said func(string, ...any)) {
	var got map[string]any
	if err := json.NewDecoder(bytes.NewReader(sent)).Decode(&got); err != nil {
		said("has a body that is no object")
		return
	}
	for name, value := range got {
		expr, ok := fields[name]
		if required, is := fields[name+"!"]; is {
			expr, ok = required, true
		}
		switch {
		case !ok:
			said("takes no field %s", name)
		case value == nil:
			// What is null is left out.
		default:
			if why := d.fits(value, expr); why != "" {
				said("field %s %s", name, why)
			}
		}
	}
	for name := range fields {
		if required, is := strings.CutSuffix(name, "!"); is && got[required] == nil {
			said("misses the field %s", required)
		}
	}
}

// fits explains why a value is none of a type.
func (d *description) fits(v any, expr string) string { //nolint:gocyclo // a case a type
	of, nullable := strings.CutSuffix(expr, "?")
	if v == nil {
		if nullable || of == "object" || of == "any" {
			return ""
		}
		return "is null, want " + of
	}
	switch is := v.(type) {
	case string:
		if of == "string" || of == "any" || slices.Contains(strings.Split(of, "|"), "'"+is+"'") {
			return ""
		}
	case float64:
		if of == "number" || of == "any" || of == "integer" && is == float64(int64(is)) {
			return ""
		}
	case bool:
		if of == "boolean" || of == "any" {
			return ""
		}
	case []any:
		item, list := strings.CutPrefix(of, "[")
		if !list {
			break
		}
		for _, one := range is {
			if why := d.fits(one, strings.TrimSuffix(item, "]")); why != "" {
				return why
			}
		}
		return ""
	case map[string]any:
		fields, named := d.Types[of]
		if !named && of != "object" && of != "any" {
			break
		}
		for name, value := range is {
			if expr, ok := fields[name]; named && !ok {
				return "has " + of + "." + name + ", which is not described"
			} else if why := d.fits(value, expr); named && why != "" {
				return of + "." + name + " " + why
			}
		}
		return ""
	}
	return fmt.Sprintf("is %v, want %s", v, of)
}
