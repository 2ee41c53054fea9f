# make mount   build walfs and mount an embedded drive at ~/Walrus (DIR=/other/place)
# make test    all tests
# The other targets: build demo race fuzz soak bench check integration clean.

SHELL := /bin/bash
DIR ?= $(HOME)/Walrus
FUZZTIME ?= 60s
BENCH ?= .
STATICCHECK_VERSION := v0.8.2

COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null)
LDFLAGS := -s -w -X main.revision=$(COMMIT)
CACHE := $(CURDIR)/.cache

# The stamp comes through LDFLAGS: go refuses its own in a clone that belongs to another user.
export GOFLAGS := -buildvcs=false $(GOFLAGS)
export CGO_ENABLED := 1

.PHONY: build mount demo test race fuzz soak bench check integration clean

build:
	@go build -trimpath -ldflags '$(LDFLAGS)' -o bin/walfs ./cmd/walfs

mount:
	@bash .ci/need gcc fusermount3:fuse3
	@[ -x bin/walfs ] || echo "building walfs; the first time takes a few minutes"
	@$(MAKE) --no-print-directory build
	@bin/walfs mount --background "$(DIR)"

demo:
	@bash .ci/need gcc fusermount3:fuse3
	@$(MAKE) --no-print-directory build
	@bash cmd/walfs/demo.sh bin/walfs

TOOLS := gcc git fusermount3:fuse3 rsync strace sqlite3 setfattr:attr setfacl:acl cpio zip unzip make python3 \
	restic borg:borgbackup vim.tiny:vim-tiny gio:libglib2.0-bin ssh-keygen:openssh-client

test:
	@bash .ci/need $(TOOLS)
	go test -timeout 15m ./...

# integration is test where a skipped mount counts as a failure.
integration:
	@bash .ci/need $(TOOLS)
	WALFS_NEED_FUSE=1 go test -count=1 -timeout 30m ./integration/... ./cmd/... ./fs/...

race:
	@bash .ci/need $(TOOLS)
	go test -race -timeout 60m ./...

soak:
	@bash .ci/need $(TOOLS)
	WALFS_SOAK=1 go test -count=1 -v -timeout 12h ./...
	@bash .ci/fuzz $(FUZZTIME)

fuzz:
	@bash .ci/fuzz $(FUZZTIME)

bench:
	@bash .ci/need $(TOOLS)
	WALFS_BENCH=1 go test -count=1 -v -timeout 60m -run '^TestBench' ./integration
	go test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 60m ./...

check: $(CACHE)/staticcheck-$(STATICCHECK_VERSION)
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l); \
	  if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	@echo "gofmt        ok"
	@go vet ./...
	@go vet -tags failpoint ./cmd/walfs
	@echo "vet          ok"
	@$< ./...
	@echo "staticcheck  ok"
	@go test -count=1 -run '^(TestLayers|TestLibraries|TestDoc)' ./integration

$(CACHE)/staticcheck-$(STATICCHECK_VERSION):
	@mkdir -p $(CACHE)
	@GOBIN=$(CACHE) GOFLAGS= go install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION)
	@mv $(CACHE)/staticcheck $@

clean:
	rm -rf bin .cache
