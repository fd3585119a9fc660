package store

import "testing"

func FuzzCommit(f *testing.F) {
	f.Add([]byte("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nparent 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 9999999999999999999 +0000\ngpgsig x\n y\n\nm\n\nBackstop-Kind: Hold\n"))
	f.Add([]byte("tree x\nauthor >\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := parseCommit(raw)
		if err != nil {
			return
		}
		if c.When.Year() > 11000 || c.When.Unix() < 0 {
			t.Errorf("time %s", c.When)
		}
	})
}

func FuzzTree(f *testing.F) {
	f.Add([]byte("100644 a\x0012345678901234567890"+"40000 b\x0012345678901234567890"), "b")
	f.Add([]byte("100644 x 100644 a\x0012345678901234567890"), "a")
	f.Fuzz(func(t *testing.T, raw []byte, name string) {
		e, ok := find(raw, name)
		var first *Entry
		for rest := raw; ; {
			n, x, next, more := nextEntry(rest)
			if !more {
				break
			}
			if string(n) == name && first == nil {
				first = &x
			}
			rest = next
		}
		if ok != (first != nil) || ok && *first != e {
			t.Errorf("find gives %+v, %v, a walk through the entries %+v", e, ok, first)
		}
	})
}
