"""A search made up of data alone: quick to log and to report, with answers that try to break out of a page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from adamms.mapping.plan import MergePlan, ModelIdentity, Piece, Source, TensorPlan
from adamms.merging.companions import RECORD
from adamms.prompts.prompt import Prompt
from adamms.reporting.report import Story, write_report
from adamms.runs.candidate import CandidateRecord
from adamms.runs.record import ResponseRecord
from adamms.runs.responses import Responses
from adamms.runs.run_folder import FINISHED, RUNNING, RunFolder
from adamms.runs.store import ResponseStore
from adamms.searching.description import search_name
from adamms.selecting.selection import select
from adamms.tracking import Tracking
from adamms.tracking.config import TrackingConfig
from tests.conftest import data_uri

ALPHAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
HOSTILE = "<script>document.title='broken'</script><img src=http://203.0.113.1/x onerror=alert(1)>"
SECONDS = {"mapping": 1.5, "starting engines": 38.0, "re-merging": 4.0, "answering": 96.0, "exporting": 7.0}


def made_up_plan(donor: str = "models/llava-onevision", base: str = "models/qwen2-vl") -> MergePlan:
    """A plan of three tensors."""
    return MergePlan(
        base=ModelIdentity(base, "qwen2-vl", "hf", "b" * 16),
        donors=(ModelIdentity(donor, "llava-onevision", "hf", "d" * 16),),
        ancestor=None,
        tensors=(
            TensorPlan("a.q", "BF16", (4, 4), "self_attn.q_proj.weight", (Piece(0, 4, (Source("x.q", 0),)),)),
            TensorPlan("a.up", "BF16", (8, 4), "mlp.up_proj.weight", (Piece(0, 8, (Source("x.up", 0),)),)),
            TensorPlan(
                "v.patch", "BF16", (4, 4), "vision", reason="vision encoder: the base keeps its own", outside=True
            ),
        ),
        notes=(f"a note {HOSTILE}",),
        warnings=("merged in part only, as it was asked for",),
    )


def made_up_prompts(count: int = 40) -> list[Prompt]:
    """Prompts with a picture each; the first one is hostile."""
    picture = base64.b64decode(data_uri((40, 120, 200)).split(",", 1)[1])
    texts = [HOSTILE, *(f"What is in picture {i}? Answer in fruit." for i in range(1, count))]
    return [Prompt(f"fruit-{i:03d}", text, (picture,)) for i, text in enumerate(texts)]


def made_up_responses(count: int = 40) -> Responses:
    """Answers that change towards both ends and stay around 0.3; the first prompt's are hostile."""
    words = ("purple star", "grape star", "mango ring", "lime heart", "cherry square")

    def answer(alpha: float, i: int) -> str:
        if i == 0:
            return HOSTILE + "!" * round(10 * alpha)
        first, last = (0.05, 0.15, 0.15, 0.05, 0.25)[i % 5], (0.45, 0.55, 0.45, 0.35)[i % 4]
        return words[(i + (alpha > first) + (alpha > last)) % len(words)]

    return {alpha: {f"fruit-{i:03d}": answer(alpha, i) for i in range(count)} for alpha in ALPHAS}


def made_up_selection() -> dict[str, Any]:
    """What `selection.json` holds of it."""
    texts = {prompt.id: prompt.text for prompt in made_up_prompts()}
    return select(made_up_responses(), prompts=texts).to_json() | {"noise": {"asked": 40, "differing": 1}}


def made_up_story(run_dir: Path) -> Story:
    """All of it, judged by labels too."""
    judged = dict(zip(map(str, ALPHAS), (31.0, 38.5, 44.0, 47.5, 46.0, 40.0, 33.0), strict=True))
    return Story(
        plan=made_up_plan(),
        selection=made_up_selection(),
        responses=made_up_responses(),
        prompts=made_up_prompts(),
        settings="base: models/qwen2-vl\n",
        seconds=SECONDS,
        tokens={alpha: 200 + int(100 * alpha) for alpha in ALPHAS},
        judgements={"": {"chosen": 0.3, "accuracy": judged, "donor": 22.0, "oracle": 0.3, "regret": 0.0}},
        peaks={"peak_memory_gb": 3.25},
        checkpoints={"": str(run_dir / "merged")},
    )


def track_made_up_search(
    config: TrackingConfig, run_dir: Path, key: str = "made-up", donor: str = "models/llava-onevision"
) -> RunFolder:
    """Leaves in its run folder what a search does, step by step, and tracks it meanwhile."""
    story, run = made_up_story(run_dir), RunFolder(run_dir)
    params = {"base": "models/qwen2-vl", "donor": donor, "method": "linear", "task": "fruit", "metric": "either"}
    run.describe(key, search_name(params), params)
    run.describe_prompts({"": story.prompts}, {"": "tasks/fruit.jsonl"}, seed=0)
    run.set_status(RUNNING)
    with Tracking(config, run) as told:
        for alpha, answers in story.responses.items():
            write_candidate(run, alpha, answers, story.tokens[alpha], 9 + alpha)
            told(alpha)
        write_choice(run, story.selection)
        run.write(run.costs, {"seconds": SECONDS, "peaks": {}})
        write_report(story, run)
        run.set_status(FINISHED)
    return run


def write_candidate(
    run: RunFolder, alpha: float, answers: Mapping[str, str], tokens: int = 9, seconds: float = 1.5
) -> None:
    """A candidate that has answered, and its answers."""
    records = [ResponseRecord(alpha, name, text, f"{alpha} {name}") for name, text in answers.items()]
    with closing(ResponseStore(run.folder / "responses")) as store:
        store.append(records)
    run.write_candidate(CandidateRecord(alpha, len(answers), tokens, "0" * 16, 0.5, seconds, {"tokens_saved": 4.0}))


def write_choice(run: RunFolder, selection: Mapping[str, Any]) -> None:
    """The choice, the scores of all candidates, and the checkpoint, without weights."""
    run.write(run.selection, selection)
    scores = {value: {"rate_constant": 0.2, "either": score} for value, score in selection["scores"].items()}
    run.write(run.scores, scores)
    run.write(run.merged / RECORD, {"plan": "p", "recipe": {"method": "linear", "alpha": selection["alpha"]}})
