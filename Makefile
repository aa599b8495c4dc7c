# Everything that gantry needs to be built, shown and tested on a Debian or Ubuntu machine with Go, gcc and make.

GO      ?= go
SAMPLES := web worker crasher burner eater probe
export CGO_ENABLED := 0

.PHONY: build demo up test check gen bench clean

build: bin/gantry build/samples/.packed ## bin/gantry with its runtime inside, and the sample images

bin/gantry: .FORCE build/.runtime
	@$(GO) build -trimpath -ldflags '-s -w' -o $@ ./cmd/gantry

build/.runtime: .FORCE
	@build/setup.sh build
	@$(GO) run ./build/runtime

build/samples/.packed: $(shell find samples -name '*.go')
	@mkdir -p build/cache
	@$(GO) build -trimpath -ldflags '-s -w' -o build/cache/ $(SAMPLES:%=./samples/%)
	@$(GO) run ./samples/pack -out build/samples $(foreach s,$(SAMPLES),$(s)=build/cache/$(s))
	@touch $@

demo: build ## the main job: a task in real containers, by the genuine aws CLI
	@build/demo.sh

up: build ## the same, left running for you
	@bin/gantry up

test: build ## every test
	@build/test.sh

check: ## formatting, vet, generated files up to date
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'gofmt these:'; gofmt -l $$(git ls-files '*.go'); exit 1; }
	@$(GO) vet ./...

gen: ## the wire types from the pinned models, and the coverage page from the code
	@$(GO) -C internal/wire/gen run .
	@$(GO) run ./cmd/gantry docs coverage > docs/reference/coverage.md

bench: build ## benchmarks, with peers beside us in the same run
	@$(GO) test -run '^$$' -bench . ./internal/placement/
	@$(GO) run ./bench/launch
	@$(GO) run ./bench/api
	@$(GO) run ./bench/throughput
	@$(GO) run ./bench/recovery

clean:
	rm -rf bin build/samples build/cache build/tools internal/agent/runtime/embedded/*.zst

.FORCE:
