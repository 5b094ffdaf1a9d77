"""A search made up of data alone: quick to log and to report, with answers that try to break out of a page."""

from __future__ import annotations

import base64
from pathlib import Path

from adamms.mapping.plan import MergePlan, ModelIdentity, Piece, TensorPlan
from adamms.prompts.config import PromptsConfig
from adamms.prompts.prompt import Prompt
from adamms.runs.responses import Responses
from adamms.selecting.selection import Selection, select
from adamms.tracking import CandidateRecord, SearchTracker, Story, write_report
from adamms.tracking.config import TrackingConfig
from tests.conftest import data_uri

ALPHAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
HOSTILE = "<script>document.title='broken'</script><img src=http://203.0.113.1/x onerror=alert(1)>"
SECONDS = {"mapping": 1.5, "starting engines": 38.0, "re-merging": 4.0, "answering": 96.0, "exporting": 7.0}


def made_up_plan(donor: str = "models/llava-onevision", base: str = "models/qwen2-vl") -> MergePlan:
    """A plan of three tensors."""
    return MergePlan(
        base=ModelIdentity(base, "qwen2-vl", "hf", "b" * 16),
        donor=ModelIdentity(donor, "llava-onevision", "hf", "d" * 16),
        ancestor=None,
        tensors=(
            TensorPlan("a.q", "BF16", (4, 4), "self_attn.q_proj.weight", (Piece(0, 4, "x.q", 0),)),
            TensorPlan("a.up", "BF16", (8, 4), "mlp.up_proj.weight", (Piece(0, 8, "x.up", 0),)),
            TensorPlan("v.patch", "BF16", (4, 4), "vision", reason="vision encoder: the base keeps its own"),
        ),
        notes=(f"a note {HOSTILE}",),
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


def made_up_story(run_dir: Path) -> tuple[Story, Selection]:
    """All of it, judged by labels too."""
    responses, prompts = made_up_responses(), made_up_prompts()
    selection = select(responses, prompts={prompt.id: prompt.text for prompt in prompts})
    judged = dict(zip(map(str, ALPHAS), (31.0, 38.5, 44.0, 47.5, 46.0, 40.0, 33.0), strict=True))
    story = Story(
        plan=made_up_plan(),
        selection=selection.to_json(),
        responses=responses,
        prompts=prompts,
        settings="base: models/qwen2-vl\n",
        seconds=SECONDS,
        tokens={alpha: 200 + int(100 * alpha) for alpha in ALPHAS},
        judgements={"": {"chosen": 0.3, "accuracy": judged, "donor": 22.0, "oracle": 0.3, "regret": 0.0}},
        noise_floor=1.0,
        peaks={"peak_memory_gb": 3.25},
        merged=str(run_dir / "merged"),
    )
    return story, selection


def track_made_up_search(
    config: TrackingConfig, run_dir: Path, key: str = "made-up", donor: str = "models/llava-onevision"
) -> Selection:
    """Logs it as a search does."""
    story, selection = made_up_story(run_dir)
    merged = run_dir / "merged"
    merged.mkdir(parents=True, exist_ok=True)
    params = {"base": "models/qwen2-vl", "donor": donor, "method": "linear", "task": "fruit", "metric": "either"}
    with SearchTracker(config, key, params, run_dir) as tracker:
        tracker.log_prompts(PromptsConfig(path="tasks/fruit.jsonl"), {"": story.prompts})
        questions = {prompt.id: prompt.text for prompt in story.prompts}
        for alpha, answers in story.responses.items():
            tracker.log_candidate(
                CandidateRecord(
                    alpha, answers, questions, story.tokens[alpha], "0" * 16, 0.5, 9 + alpha, {"tokens_saved": 50.0}
                )
            )
        scores = {
            alpha: {"rate_constant": 0.2} | ({} if score is None else {"either": score})
            for alpha, score in selection.scores.items()
        }
        tracker.log_scores(scores)
        tracker.log_selection(selection)
        tracker.log_metrics({f"seconds_{name.replace(' ', '_')}": value for name, value in SECONDS.items()})
        tracker.log_winner(selection, merged)
        page, *figures = write_report(story, run_dir)
        tracker.log_files([page])
        tracker.log_files(figures, "figures")
    return selection
