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

# PHOTOS=folder also times `prepare`
bench:
	python benchmarks/train_speed.py
	python benchmarks/stylegan2_speed.py
	python benchmarks/render_speed.py
	python benchmarks/metric_speed.py
	$(if $(PHOTOS),python benchmarks/prepare_speed.py $(PHOTOS))
