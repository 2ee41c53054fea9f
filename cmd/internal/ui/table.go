package ui

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"
)

// tableGap is the number of spaces between two columns.
const tableGap = 2

// Table is a result in columns. Add rows, then Flush. It is not safe for
// concurrent use.
type Table struct {
	u      *UI
	text   bytes.Buffer
	styles []Style // one a line
	w      *tabwriter.Writer
}

// Table returns a table with the given headings, for stdout.
func (u *UI) Table(headings ...string) *Table {
	t := &Table{u: u}
	t.w = tabwriter.NewWriter(&t.text, 0, 0, tableGap, ' ', 0)
	t.add(Bold, headings)
	return t
}

// Row adds a row of cells, which fmt.Sprint turns into text.
func (t *Table) Row(cells ...any) { t.Styled(Normal, cells...) }

// Styled is Row in a style.
func (t *Table) Styled(s Style, cells ...any) {
	text := make([]string, len(cells))
	for i, c := range cells {
		text[i] = Clean(fmt.Sprint(c)) // without tabs and newlines from here on
	}
	t.add(s, text)
}

func (t *Table) add(s Style, cells []string) {
	t.styles = append(t.styles, s)
	_, _ = fmt.Fprintln(t.w, strings.Join(cells, "\t")) // into memory
}

// Flush writes the table, or nothing if it has no rows. Styles are laid over
// whole lines, after the columns were measured.
func (t *Table) Flush() error {
	if err := t.w.Flush(); err != nil {
		return err
	}
	if len(t.styles) < 2 {
		return nil
	}
	var b strings.Builder
	i := 0
	for line := range strings.Lines(t.text.String()) {
		b.WriteString(t.u.Paint(t.styles[i], strings.TrimRight(line, " \n")) + "\n")
		i++
	}
	_, err := t.u.Stdout().Write([]byte(b.String()))
	return err
}
