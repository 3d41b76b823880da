# Every target makes its own .venv first; nothing needs to be installed by hand.
PYTHON := .venv/bin/python
OFFSCREEN := QT_QPA_PLATFORM=offscreen

.PHONY: run test test-slow test-tools fuzz matrix bench lint screenshots families bootstrap clean

run: bootstrap
	@scripts/run.sh

test: lint test-tools
	$(OFFSCREEN) $(PYTHON) -m pytest -m "not slow" --durations=15 -n auto --maxprocesses 4 --dist worksteal

test-slow: test-tools
	$(OFFSCREEN) $(PYTHON) -m pytest -m slow --durations=15

# hostile inputs to every reader; atheris is Linux's alone, without it mutation and hypothesis do its part
fuzz: bootstrap
	@$(PYTHON) -m pip install -qq --disable-pip-version-check --editable '.[fuzz]' || true
	nice $(PYTHON) scripts/fuzz.py --inputs 100000

matrix: bootstrap
	$(PYTHON) scripts/matrix.py docs/matrix.md

lint: bootstrap
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

bench: bootstrap
	@for script in benchmarks/[!_]*.py; do \
	  if [ -e "$$script" ]; then echo "== $$script"; $(PYTHON) "$$script" || exit 1; \
	  else echo "benchmarks/ holds no benchmark yet"; fi; done

screenshots: bootstrap
	$(OFFSCREEN) $(PYTHON) scripts/screenshots.py docs/img

families: bootstrap
	$(PYTHON) scripts/make_family.py all --bits 8 --out families-out

bootstrap:
	@scripts/bootstrap.sh

test-tools:
	@scripts/bootstrap.sh tests

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis demo-out families-out fuzz-findings
