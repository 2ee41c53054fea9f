package main

import (
	"bytes"
	"testing"
)

// FuzzParseMark reads what somebody may have left in a node folder. What is taken for a mark
// is one that comes out the same when it is written again.
func FuzzParseMark(f *testing.F) {
	f.Add(markText("0102", "0304"))
	f.Add([]byte("walfs writer 1\nwriter \nmark \n"))
	f.Add([]byte("walfs writer 1\nmark 1\nwriter 2\n"))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, text []byte) {
		writer, mark := parseMark(text)
		if (writer != "" || mark != "") && !bytes.Equal(markText(writer, mark), text) {
			t.Errorf("%q is taken for writer %q, mark %q", text, writer, mark)
		}
	})
}
