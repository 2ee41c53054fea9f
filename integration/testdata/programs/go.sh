# needs: go
# heavy
# A Go module, with the build cache on the drive too.
work() {
  export GOCACHE=$PWD/cache GOFLAGS=-mod=mod GOTOOLCHAIN=local GOPATH=$PWD/path GOTELEMETRY=off CGO_ENABLED=0
  mkdir -p module/part; cd module
  printf 'module example.org/walfs\n\ngo 1.21\n' > go.mod
  printf 'package part\n\nfunc Seven() int { return 7 }\n' > part/part.go
  printf 'package main\n\nimport "example.org/walfs/part"\n\nfunc main() { if part.Seven() != 7 { panic("not seven") } }\n' > main.go
  go build -trimpath -o program .; ./program
  go vet ./part
  first=$(sha256sum < program); go build -trimpath -o program .; same "second build" "$(sha256sum < program)" "$first"
  rm -rf ../cache # too much to store for what it shows
}

again() { ./module/program; }
