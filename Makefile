# Two commands do everything: `make up` and `make test`.
VENV := .venv
RUN := $(VENV)/bin

.PHONY: up down purge test check unit golden bench vendor bootstrap

bootstrap:
	@sh scripts/bootstrap

up: bootstrap
	@$(RUN)/lee up

down:
	@$(RUN)/lee down

purge:
	@$(RUN)/lee down --purge

check: bootstrap
	$(RUN)/ruff check src tests benchmarks examples
	$(RUN)/ruff format --check src tests benchmarks
	$(RUN)/mypy
	$(RUN)/lint-imports

unit: bootstrap
	$(RUN)/pytest -q tests/unit tests/golden

test: check
	$(RUN)/pytest -q tests

golden: bootstrap
	GOLDEN=write $(RUN)/pytest -q tests/golden

bench: bootstrap
	$(RUN)/python -m benchmarks
