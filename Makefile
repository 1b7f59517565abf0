.PHONY: check test bench

check:
	ruff check .
	ruff format --check .
	mypy
	lint-imports

test:
	pytest

bench:
	for script in benchmarks/*.py; do echo "== $$script"; python $$script || exit 1; done
