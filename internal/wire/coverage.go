package wire

import (
	"fmt"
	"io"
)

// WriteCoverage writes, as a section of a Markdown page, which operations of a service gantry offers. The table is
// the one that the running program answers with, so the page cannot claim more than is there.
func WriteCoverage(w io.Writer, title string, table []Operation) error {
	offered := 0
	for i := range table {
		if table[i].Offered() {
			offered++
		}
	}
	if _, err := fmt.Fprintf(w, "## %s\n\n%d of %d operations.\n\n| operation | |\n|---|---|\n", title, offered, len(table)); err != nil {
		return err
	}
	for i := range table {
		state := "not yet"
		if table[i].Offered() {
			state = "offered"
		}
		if _, err := fmt.Fprintf(w, "| %s | %s |\n", table[i].Name, state); err != nil {
			return err
		}
	}
	return nil
}
