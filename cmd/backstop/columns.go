package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/backstop-dev/backstop/internal/text"
)

// maxWidth is how many columns of a terminal a line takes at most, but for -o wide.
const maxWidth = 140

// leastRoom is what the last cell may take even where that makes the line longer: the start of a sentence says when and
// what, and a header is whole.
const leastRoom = 40

// columns prints rows that align. A column keeps the width that the first rows gave it, so that rows that come later,
// while watching, stand below the header too.
type columns struct {
	out    io.Writer
	header []string
	// full prints every cell whole; else the last column is cut so that a line fits maxWidth, but never below leastRoom.
	full   bool
	widths []int
}

const gap = 3

// print writes rows, with the header above the first ones.
func (c *columns) print(rows [][]string) {
	if c.widths == nil {
		rows = append([][]string{c.header}, rows...)
		c.widths = make([]int, len(c.header))
	}
	for _, row := range rows {
		for i := range row {
			row[i] = oneLine(row[i])
			c.widths[i] = max(c.widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	for _, row := range rows {
		c.line(row)
	}
}

func (c *columns) line(row []string) {
	var b strings.Builder
	at := 0
	for i, cell := range row {
		if i == len(row)-1 {
			if room := max(maxWidth-at, leastRoom); !c.full && utf8.RuneCountInString(cell) > room {
				cell = string([]rune(cell)[:room-1]) + "…"
			}
			b.WriteString(cell)
			break
		}
		pad := c.widths[i] + gap - utf8.RuneCountInString(cell)
		b.WriteString(cell + strings.Repeat(" ", pad))
		at += c.widths[i] + gap
	}
	fmt.Fprintln(c.out, strings.TrimRight(b.String(), " "))
}

// oneLine keeps foreign text from moving the cursor, and an empty cell visible.
func oneLine(s string) string {
	s = text.Visible(s)
	if s == "" {
		return "-"
	}
	return s
}
