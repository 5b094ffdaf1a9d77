"""What to do after a warning, or where a choice is not sure: the next command, in words."""

import shlex
from collections.abc import Iterator

from adamms.merging.usage import NO_LIBRARY, loading_code

ADVICE = {
    "no plateau": "answers change with every step: ask more prompts (prompts.n), look between the candidates "
    "(searching.refine=[0.05]), or merge otherwise (merging.method=ties ancestor=MODEL, the language model "
    "that both grew from); judge by labels before you use it (adamms evaluate)",
    "sits on the base's plateau": "give a few labels (searching.labels): without them no criterion knows whether the "
    "base's answers are the right ones; and look at larger alphas (searching.alphas=[0,0.2,0.4,0.6,0.8,1])",
    "which of them is right, only labels can tell": "give twenty or more (searching.labels); without them every "
    "criterion was far behind the best on such pairs (docs/evidence.md). TIES beside linear interpolation helped as "
    "well (searching.methods=[linear,ties] ancestor=MODEL)",
    "may lie beyond it": "give values beyond that end, where the coefficient has some (searching.alphas=[...]); where "
    "ends may be chosen, searching.extend=true goes on there by itself; in another run_dir",
    "adds nothing": "keep that parent as it is, or ask prompts that need both",
    "without their pictures": "it can tell answers of its own kind, not which of them fits the picture; a few "
    "labels can (searching.labels)",
    "not evenly spaced": "give evenly spaced alphas, or compare only neighbours with equal steps",
    "left out: not every": "run the same command again: what is missing is asked for; a candidate that keeps failing "
    "says why in the log",
    "same answers": "ask prompts that the two parents answer differently, allow longer answers (engine.max_tokens), or "
    "try larger alphas",
    "had scored all answers": "run the same command again with a larger budget: it goes on where it stopped",
    "labels are not used": "run the same command again with a larger budget: it goes on where it stopped",
    "stopped by": "run the same command again with a larger budget: it goes on where it stopped",
    "merged in part": "the unmerged tensors are the base's own; a donor of the same language model merges whole",
    "cannot be told apart": "any of them does; more prompts (prompts.n) would tell them apart, which matters only if "
    "labels show that they differ",
    "too few prompts": "ask at least 50 prompts (prompts.n); a hundred are usual",
    "nothing can be chosen": "try smaller or other searching.alphas; where every candidate repeats itself or answers "
    "nothing, the donor weighs too much or the two do not belong together",
}
"""A part of a warning, or of a verdict -> what helps."""


def advice(text: str) -> str:
    """What to do about a warning or a verdict; empty where nothing has to be done."""
    return next((helps for part, helps in ADVICE.items() if part in text), "")


def next_steps(
    merged: str, run_dir: str, images: bool, library: bool = True, task: str = ""
) -> Iterator[tuple[str, str]]:
    """Title and command of everything that one does with a winner.

    Args:
        merged: the checkpoint's folder.
        run_dir: the search's.
        images: whether its prompts have pictures.
        library: whether Transformers and vLLM read its layout.
        task: that it was chosen for, where each has one.
    """
    of, named = (f"{task}: ", f" --task {shlex.quote(task)}") if task else ("", "")
    place = shlex.quote(run_dir)
    if library:
        yield f"{of}Load it with Transformers", loading_code(merged, images=images)
        yield f"{of}Serve it (an OpenAI-compatible server on port 8000)", f"adamms serve {place}{named}"
    else:
        yield f"{of}Load it with its authors' code, as the base is loaded: {NO_LIBRARY}", merged
    yield f"{of}Publish it on the Hub (private unless you say --public)", f"adamms push {place} OWNER/NAME{named}"
