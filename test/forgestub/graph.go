package forgestub

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// graphTokens are those of a query, without values.
var graphTokens = regexp.MustCompile(`[A-Za-z_]\w*|\.\.\.|[{}():$\[\]]`)

// graph holds a query of GraphQL against the types that a provider publishes.
func (d *description) graph(query string) (why string) {
	q := &graphQuery{types: d.Graph, tokens: graphTokens.FindAllString(query, -1)}
	defer func() {
		if r := recover(); r != nil {
			why = fmt.Sprint(r)
		}
	}()
	root := map[string]string{"query": "Query", "mutation": "Mutation"}[q.next()]
	if q.peek() == "(" {
		q.arguments()
	}
	q.selection(root)
	return ""
}

// graphQuery is what is left to be read of a query. What is wrong with it is a panic, which graph tells.
type graphQuery struct {
	types  map[string]map[string]string
	tokens []string
}

func (q *graphQuery) peek() string {
	if len(q.tokens) == 0 {
		panic("the query ends too early")
	}
	return q.tokens[0]
}

func (q *graphQuery) next() string {
	t := q.peek()
	q.tokens = q.tokens[1:]
	return t
}

// selection reads the fields that are asked for of a type.
func (q *graphQuery) selection(of string) {
	fields, ok := q.types[of]
	if !ok || q.next() != "{" {
		panic("GraphQL has no type " + of + " with fields")
	}
	for name := q.next(); name != "}"; name = q.next() {
		if name == "..." {
			q.next()
			q.selection(q.next())
			continue
		}
		is, ok := fields[name]
		if !ok {
			panic("GraphQL has no field " + of + "." + name)
		}
		kind, takes, _ := strings.Cut(strings.TrimSuffix(is, ")"), "(")
		if q.peek() == "(" {
			for _, arg := range q.arguments() {
				if !slices.Contains(strings.Fields(takes), arg) {
					panic("GraphQL has no argument " + arg + " of " + of + "." + name)
				}
			}
		}
		if q.peek() == "{" {
			q.selection(kind)
		}
	}
}

// arguments are the names that stand before colons in parentheses.
func (q *graphQuery) arguments() []string {
	var out []string
	variable := false
	for t := q.next(); t != ")"; t = q.next() {
		if q.peek() == ":" && !variable {
			out = append(out, t)
		}
		variable = t == "$"
	}
	return out
}
