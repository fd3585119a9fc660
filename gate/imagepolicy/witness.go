package imagepolicy

import (
	"regexp/syntax"
	"slices"
)

// tagRunes are the characters that a tag may have, in the order in which examples are made of them.
const tagRunes = "0123456789abcdefghijklmnopqrstuvwxyz.-_ABCDEFGHIJKLMNOPQRSTUVWXYZ"

const (
	// maxTag is how long a tag may be.
	maxTag = 128
	// maxStates bounds the search for an example.
	maxStates = 5_000
)

// walk is a text and where it leads the automata.
type walk struct {
	tag    string
	states [][]uint32
}

// Witness finds a tag that all patterns match and own does not, the shortest there is; an empty own matches nothing. It
// walks the automata of the patterns side by side, so that it finds one whenever there is one, within the bound. As
// with ImagePolicies the patterns are not anchored by themselves.
func Witness(own string, patterns ...string) (string, bool) {
	tag, found, _ := Search(own, patterns...)
	return tag, found
}

// Search is Witness, and reports whether no such tag exists: false where the search was given up.
func Search(own string, patterns ...string) (tag string, found, none bool) {
	programs := make([]*program, 0, len(patterns)+1)
	for _, pattern := range append(slices.Clone(patterns), own) {
		p, err := newProgram(pattern)
		if err != nil {
			return "", false, false
		}
		programs = append(programs, p)
	}
	wanted := len(patterns)
	start := walk{}
	for _, p := range programs {
		start.states = append(start.states, p.pending([]uint32{uint32(p.Start)}))
	}
	// The start is not marked: a text that has begun may stand there again, and goes on with other characters.
	seen := map[string]bool{}
	complete := true
	for queue := []walk{start}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		mine := own != "" && accepted(programs[wanted:], walk{at.tag, at.states[wanted:]})
		if at.tag != "" && !mine && accepted(programs[:wanted], at) {
			return at.tag, true, false
		}
		if len(at.tag) >= maxTag || len(seen) > maxStates {
			complete = false
			continue
		}
		for _, r := range tagRunes {
			// A tag begins with a letter, a digit or an underscore.
			if at.tag == "" && (r == '.' || r == '-') {
				continue
			}
			next := walk{tag: at.tag + string(r)}
			for i, p := range programs {
				next.states = append(next.states, p.step(at.states[i], last(at.tag), r))
			}
			dead := slices.ContainsFunc(next.states[:wanted], func(s []uint32) bool { return len(s) == 0 })
			if k := key(next.states); !dead && !seen[k] {
				seen[k] = true
				queue = append(queue, next)
			}
		}
	}
	return "", false, complete
}

func last(tag string) rune {
	if tag == "" {
		return -1
	}
	return rune(tag[len(tag)-1])
}

// key tells apart where the automata stand.
func key(states [][]uint32) string {
	var b []byte
	for _, set := range states {
		for _, s := range set {
			b = append(b, byte(s), byte(s>>8), byte(s>>16))
		}
		b = append(b, 0xFF, 0xFF, 0xFF)
	}
	return string(b)
}

// accepted reports whether all automata match what was read so far.
func accepted(programs []*program, at walk) bool {
	for i, p := range programs {
		matched := slices.ContainsFunc(p.close(at.states[i], last(at.tag), -1), func(pc uint32) bool {
			return p.Inst[pc].Op == syntax.InstMatch
		})
		if !matched {
			return false
		}
	}
	return true
}

// program is the automaton of a pattern, with any text before and after it.
type program struct{ *syntax.Prog }

func newProgram(pattern string) (*program, error) {
	re, err := syntax.Parse(`(?s:.*)(?:`+pattern+`)(?s:.*)`, syntax.Perl)
	if err != nil {
		return nil, err
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return nil, err
	}
	return &program{prog}, nil
}

// close follows everything that takes no character, where both neighbours are known. What asks for a certain place
// between two characters (^, $, \b) is kept too: what is closed once may be closed again when more is known.
func (p *program) close(from []uint32, before, after rune) []uint32 {
	here := syntax.EmptyOpContext(before, after)
	return p.follow(from, func(asked syntax.EmptyOp) bool { return asked&^here == 0 })
}

// pending follows what needs no knowledge of the next character.
func (p *program) pending(from []uint32) []uint32 {
	return p.follow(from, func(syntax.EmptyOp) bool { return false })
}

// follow gives what takes a character or ends the pattern, reached without taking one, and everything that asks for a
// place between two; holds reports whether the automaton may go on from there.
func (p *program) follow(from []uint32, holds func(syntax.EmptyOp) bool) []uint32 {
	var out []uint32
	seen := map[uint32]bool{}
	var visit func(pc uint32)
	visit = func(pc uint32) {
		if seen[pc] {
			return
		}
		seen[pc] = true
		switch in := p.Inst[pc]; in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			visit(in.Out)
			visit(in.Arg)
		case syntax.InstCapture, syntax.InstNop:
			visit(in.Out)
		case syntax.InstEmptyWidth:
			out = append(out, pc)
			if holds(syntax.EmptyOp(in.Arg)) {
				visit(in.Out)
			}
		case syntax.InstFail:
		default:
			out = append(out, pc)
		}
	}
	for _, pc := range from {
		visit(pc)
	}
	slices.Sort(out)
	return out
}

// step takes one character. before is the one before it, or -1 at the start.
func (p *program) step(from []uint32, before, r rune) []uint32 {
	var next []uint32
	for _, pc := range p.close(from, before, r) {
		in := p.Inst[pc]
		switch in.Op {
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			if in.MatchRune(r) {
				next = append(next, in.Out)
			}
		default:
		}
	}
	// Where the text goes on is not known yet: only what holds in the middle of it is followed.
	return p.pending(next)
}
