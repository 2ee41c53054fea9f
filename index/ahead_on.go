//go:build !noahead

package index

// notesKept: changes that are answered before they are committed are noted.
const notesKept = true
