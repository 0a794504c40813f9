# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow test-all zoo networks torture gpu check docs format web web-check clean

demo: .venv/installed  ## train on real digits, see through the network, write a report
	$(BIN)/glassnet demo

test: .venv/installed-dev  ## all tests except slow ones, each of which a faster test replaces here
	$(BIN)/python -m pytest -n auto --dist worksteal

test-slow: .venv/installed-dev  ## the slow tests alone
	$(BIN)/python -m pytest -m 'slow and not zoo' -n auto --dist worksteal

test-all: .venv/installed-dev  ## all tests, the slow ones too
	$(BIN)/python -m pytest -m 'not zoo' -n auto --dist worksteal

zoo: .venv/installed-dev  ## every network of other libraries against plain PyTorch: 4 minutes
	$(BIN)/python -m pytest -m zoo -n auto --dist worksteal tests/zoo

networks: .venv/installed-dev  ## the same as a table, docs/results/networks.md
	PYTHONPATH=tests $(BIN)/python -m zoo

torture: .venv/installed-dev  ## kills, full disks, mutated files: 20 minutes; PART=kill for one part
	PYTHONPATH=tests $(BIN)/python -m torture $(if $(PART),--part $(PART)) $(TORTURE)

gpu: .venv/installed-dev  ## what a GPU gives, and whether it is the same: 8 minutes; DATA=DIR holds MNIST
	$(BIN)/python benchmarks/gpu.py $(if $(DATA),--data-root $(DATA)) $(GPU)

check: .venv/installed-dev  ## lint, format, types, import layers, docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/check_docs.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs: .venv/installed-dev  ## the documentation as a site: open docs-site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

web: web/node_modules/.package-lock.json  ## build the explorer's page; needs Node 20.19 or newer, users need none
	cd web && npm run build

web-check: web/node_modules/.package-lock.json .venv/installed-dev  ## the page's types, tests, and whether the committed build is this source's
	cd web && npm run types:check && npm run check && npm test && npm run bundle:check

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	touch $@

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[pretrained,explore]'
	touch $@

.venv/installed-dev: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,umap,pacmap,zoo]'
	touch .venv/installed $@

clean:
	rm -rf .venv runs docs-site web/node_modules
