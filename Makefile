.PHONY: check test quick bench

check:
	ruff check .
	ruff format --check .
	mypy
	lint-imports

test:
	pytest

quick:
	pytest -m "not slow"

# PHOTOS=folder also times `prepare`; writes benchmarks/RESULTS.md
bench:
	python benchmarks/bench.py $(if $(PHOTOS),--photos $(PHOTOS))
