package fs

import (
	"bytes"
	"log/slog"
	"regexp"
)

// requestLog takes what the library says of each request at the level Debug.
// Names may stand there; contents, of which the library quotes the start, may not.
type requestLog struct {
	log *slog.Logger
}

// The library writes of content how long it is, and, quoted, how it starts:
// behind that in a request, before it in a reply.
var (
	inRequest = regexp.MustCompile(quoted + ` (\d+b)`)
	inReply   = regexp.MustCompile(`(\d+b data) ` + quoted)
)

const quoted = `"(?:[^"\\]|\\.)*"(?:\.\.\.)?`

// Write logs one line.
func (l requestLog) Write(line []byte) (int, error) {
	said := bytes.TrimRight(line, "\n")
	for _, content := range []*regexp.Regexp{inRequest, inReply} {
		said = content.ReplaceAll(said, []byte("$1"))
	}
	l.log.Debug(string(said))
	return len(line), nil
}
