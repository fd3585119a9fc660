package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/backstop-dev/backstop/internal/image"
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
	full bool
	// image is the column that names images: it names them in fewer words where the last cell has no room otherwise; 0
	// for none.
	image  int
	widths []int
	// brief is how few words those are.
	brief int
}

// brevities are the ways to name an image, each shorter than the one before it.
var brevities = []func(string) string{
	func(ref string) string { return ref },
	image.Brief,
	image.Short,
}

const gap = 3

// print writes rows, with the header above the first ones.
func (c *columns) print(rows [][]string) {
	if c.widths == nil {
		rows = append([][]string{c.header}, rows...)
		c.widths = make([]int, len(c.header))
		c.brief = c.fits(rows)
	}
	for _, row := range rows {
		for i := range row {
			row[i] = c.cell(i, row[i], c.brief)
			c.widths[i] = max(c.widths[i], c.width(i, row[i]))
		}
	}
	for _, row := range rows {
		c.line(row)
	}
}

// cell is what a cell says where it is printed.
func (c *columns) cell(column int, says string, brief int) string {
	if column == c.image && column > 0 && !objectName(says) {
		says = brevities[brief](says)
	}
	return oneLine(says)
}

// objectName reports whether a subject is an object, as Kind/name, and no image: no image begins with a capital.
func objectName(subject string) bool { return subject != "" && subject[0] >= 'A' && subject[0] <= 'Z' }

// width of a cell. An age grows while it is looked at.
func (c *columns) width(column int, cell string) int {
	n := utf8.RuneCountInString(cell)
	if c.header[column] == "AGE" {
		return max(n, len("2m30s"))
	}
	return n
}

// fits is the first way to name images that leaves the last cell its room.
func (c *columns) fits(rows [][]string) int {
	if c.full || c.image == 0 {
		return 0
	}
	for brief := range brevities {
		at := 0
		for i := range len(c.header) - 1 {
			widest := 0
			for _, row := range rows {
				widest = max(widest, c.width(i, c.cell(i, row[i], brief)))
			}
			at += widest + gap
		}
		if at+leastRoom <= maxWidth {
			return brief
		}
	}
	return len(brevities) - 1
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
