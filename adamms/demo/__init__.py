"""A tiny heterogeneous pair that shows what merging does.

A Qwen2-VL base and a LLaVA-OneVision donor of a million weights each, grown from one Qwen2 language model.
`pipelines/experiments/tiny_pair.py` makes such a pair; one that it made is shipped in `PAIR`."""

from pathlib import Path

PAIR = Path(__file__).parent / "pair"
"""Folders `base`, `donor`, `ancestor`, and `prompts` with an unlabelled JSONL file a task: what seed 1 gives. Besides,
`benchmark.jsonl`: questions of several tasks, which the demo asks; and `labels.jsonl`: a few others, with answers."""

DEFAULT_TASK = "row-french"
"""One of the tasks, which needs what either parent knows."""
