# make mount   build walfs and mount an embedded drive at ~/Walrus (DIR=/other/place)
# make test    all tests
# The other targets: build demo race fuzz soak posix interop bench bench-mount check integration clean.

SHELL := /bin/bash
DIR ?= $(HOME)/Walrus
FUZZTIME ?= 60s
BENCH ?= .
STATICCHECK_VERSION := v0.8.2
KOPIA_VERSION := v0.21.1

COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null)
LDFLAGS := -s -w -X main.revision=$(COMMIT)
CACHE := $(CURDIR)/.cache
PARALLEL := -parallel $(shell n=$$(nproc); echo $$((n < 4 ? 4 : n)))

# The stamp comes through LDFLAGS: go refuses its own in a clone that belongs to another user.
export GOFLAGS := -buildvcs=false $(GOFLAGS)
export CGO_ENABLED := 1

.PHONY: build mount demo test race fuzz soak posix interop bench bench-mount check integration clean

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
	restic borg:borgbackup vim.tiny:vim-tiny gio:libglib2.0-bin ssh-keygen:openssh-client \
	fio dbench stress-ng mkfs.ext4:e2fsprogs mkfs.xfs:xfsprogs

# Most tests wait for disks and processes: more of them run side by side than there are cores.
# The packages that take the longest begin first.
test:
	@bash .ci/need $(TOOLS)
	go test -timeout 30m $(PARALLEL) ./integration ./cmd/walfs ./fs/commit ./...

# integration is test where a skipped mount counts as a failure.
integration:
	@bash .ci/need $(TOOLS)
	WALFS_NEED_FUSE=1 go test -count=1 -timeout 30m $(PARALLEL) ./integration/... ./cmd/... ./fs/...

race:
	@bash .ci/need $(TOOLS)
	go test -race -timeout 60m ./...

soak:
	@bash .ci/need $(TOOLS)
	WALFS_SOAK=1 go test -count=1 -v -timeout 12h ./...
	@bash .ci/fuzz $(FUZZTIME)

# posix runs all that programs can tell of the mount, in its long form: suites of others, programs at work, our own suites.
# kopia is no Debian package; where it cannot be built it is left out.
posix:
	@bash .ci/need $(TOOLS) bonnie++
	@$(MAKE) --no-print-directory $(CACHE)/kopia-$(KOPIA_VERSION)/kopia || echo "kopia cannot be built here; its test is left out"
	PATH=$(CACHE)/kopia-$(KOPIA_VERSION):$$PATH WALFS_SOAK=1 WALFS_NEED_FUSE=1 go test -count=1 -v -timeout 6h \
	  -run '^Test(POSIX|PJD|Programs|Processes|Fsx|Hammer|Histories|SQLite|SyncTakesMapped|Edges|InodeNumbers|BigDirectory|ManyLinks|Locks|Names|OddNames|FewFiles|FullDisk|Pass|Times|Readdir)' ./integration ./fs

# interop lets the official Walrus client, unmodified, work on walfs localnet serve, and each read what the other wrote.
interop:
	@bash .ci/need gcc node:nodejs npm
	@$(MAKE) --no-print-directory build
	@cd integration/official && bash $(CURDIR)/.ci/retry npm ci --silent --no-audit --no-fund --ignore-scripts && WALFS=$(CURDIR)/bin/walfs node official.mjs

fuzz:
	@bash .ci/fuzz $(FUZZTIME)

bench:
	@bash .ci/need $(TOOLS)
	WALFS_BENCH=1 go test -count=1 -v -timeout 60m -run '^TestBench(Table|Read|Names|Ledger)' ./integration
	go test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 60m ./...

# bench-mount compares the mount with other file systems (gocryptfs and rclone, if installed), and draws
# what operations cost with up to a million files: bin/growth.png, bin/memory.png.
bench-mount:
	@bash .ci/need $(TOOLS)
	@mkdir -p bin
	WALFS_BENCH=1 WALFS_BENCH_OUT=$(CURDIR)/bin go test -count=1 -v -timeout 180m -run '^TestBench(Mount|Names)' ./integration
	cd integration/chart && go run . 'what an operation takes as the drive grows' µs $(CURDIR)/bin/growth.csv $(CURDIR)/bin/growth.png
	cd integration/chart && go run . "the daemon's memory as the drive grows" MiB $(CURDIR)/bin/memory.csv $(CURDIR)/bin/memory.png

check: $(CACHE)/staticcheck-$(STATICCHECK_VERSION)
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l); \
	  if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	@echo "gofmt        ok"
	@go vet ./...
	@go vet -tags failpoint,profile ./cmd/walfs
	@echo "vet          ok"
	@$< ./...
	@echo "staticcheck  ok"
	@go test -count=1 -run '^(TestLayers|TestLibraries|TestDoc|TestApart)' ./integration

$(CACHE)/staticcheck-$(STATICCHECK_VERSION):
	@mkdir -p $(CACHE)
	@GOBIN=$(CACHE) GOFLAGS= bash .ci/retry go install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION)
	@mv $(CACHE)/staticcheck $@

# go install would ask for a list of versions, and build without its own go.sum.
$(CACHE)/kopia-$(KOPIA_VERSION)/kopia:
	@mkdir -p $(@D)
	@GOFLAGS= go mod download github.com/kopia/kopia@$(KOPIA_VERSION)
	@cd "$$(go env GOMODCACHE)/github.com/kopia/kopia@$(KOPIA_VERSION)" && \
	  GOFLAGS= CGO_ENABLED=0 go build -mod=readonly -trimpath -buildvcs=false -tags nohtmlui -ldflags '-s -w' -o $@ .

clean:
	rm -rf bin .cache
