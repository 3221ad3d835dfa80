# Everything is one command: each target installs what it needs, cleans up what
# it started, and can be run twice. See README.md.
SHELL := /bin/bash
export CGO_ENABLED := 0
export PATH := $(PATH):/usr/local/go/bin:/usr/sbin:/sbin
GOFLAGS += -tags=nomsgpack
export GOFLAGS
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
PREFIX ?= /usr/local

.PHONY: help demo demo-down test vm-test bench fault fleet fuzz lint build image install clean setup libvirt

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: setup libvirt build image ## show the main job on this machine, and leave it running
	bin/demo up

demo-down: build ## remove every trace of the demonstration
	hack/libvirt.sh start
	bin/demo down
	hack/libvirt.sh stop

test: setup ## all tests, with one real router as a canary
	hack/with-libvirt.sh hack/test.sh

vm-test: setup build image ## the whole story and its faults on real libvirt and QEMU
	SLUICE_VM=all hack/with-libvirt.sh go test -count=1 -timeout 30m -v ./test/vm/ ./test/kernel/

bench: setup build image ## measure against peers in the same run; prints BENCH lines; BENCH='-run dhcp'
	@hack/setup.sh bench
	hack/with-libvirt.sh go run ./test/bench $(BENCH)

fault: setup ## kill the server at each fsync, and the agent at each of its effects
	SLUICE_FAULT=all go test -count=1 -timeout 1h -run Killed -v ./test/fault/ ./test/scenario/agent/

fleet: ## 1,000 parallel creates over four orchestrators on one etcd, also while one is killed
	go test -count=1 -v ./test/fleet/ -requests 1000

soak: setup ## random operations over real agents in namespaces, with kills of agents and the server; SOAK=5m
	go test -count=1 -timeout 0 -v ./test/soak/ -duration $(or $(SOAK),5m)

fuzz: ## fuzz every parser of hostile bytes; FUZZTIME=1m each
	hack/fuzz.sh $(or $(FUZZTIME),1m)

lint: ## golangci-lint, as pinned in hack/tools.mod
	go tool -modfile=hack/tools.mod golangci-lint run ./...

build: ## bin/sluice, bin/sluice-agent, bin/sluice-image
	@mkdir -p bin
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./orchestrator/cmd/sluice ./appliance/cmd/sluice-agent ./imagebuild/cmd/sluice-image ./hack/demo

image: setup build ## the router template in /var/cache/sluice/image
	SLUICE_AGENT=bin/sluice-agent hack/image.sh

install: build ## into PREFIX (/usr/local)
	install -D -m 0755 -t $(DESTDIR)$(PREFIX)/bin bin/sluice bin/sluice-agent bin/sluice-image

clean: ## what the build made
	rm -rf bin

setup:
	@hack/setup.sh

libvirt: setup
	@hack/libvirt.sh start
