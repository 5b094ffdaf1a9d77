PYTHON ?= python

.PHONY: bench-merge
bench-merge:  ## merging on disk against copying and mergekit, 1, 3 and 8 GB pairs (needs 35 GB of disk, half an hour)
	$(PYTHON) tests/benchmarks/bench_merge.py --write
