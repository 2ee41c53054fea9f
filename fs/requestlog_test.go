package fs

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestRequestLog(t *testing.T) {
	for line, want := range map[string]string{
		`rx 5: WRITE n2 {Fh 1 [0 +14)  L 0 } "secretco"... 14b p7`: `WRITE n2 {Fh 1 [0 +14)  L 0 } 14b p7`,
		`rx 6: SETXATTR n2 {sz 4 f0} "user.name" "a\"\\ b" 4b p7`:  `SETXATTR n2 {sz 4 f0} \"user.name\" 4b p7`,
		`tx 8:     OK,  5b data "secretco"...`:                     `OK,  5b data"`,
		`rx 7: LOOKUP n1 "a name of 12b" p7`:                       `LOOKUP n1 \"a name of 12b\" p7`,
	} {
		var said bytes.Buffer
		l := requestLog{slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		if _, err := l.Write([]byte(line + "\n")); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(said.String(), want) || strings.Contains(said.String(), "secretco") {
			t.Errorf("%s\nbecomes %swant %s", line, said.String(), want)
		}
	}
}
