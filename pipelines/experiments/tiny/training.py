"""A small training loop: AdamW, a short warm-up, cosine decay, answers only in the loss."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from pipelines.experiments.tiny.examples import IGNORED, Tensors
from pipelines.experiments.tiny.models import Member

Report = Callable[[int, int, float], None]
"""Told after every step: steps done, steps in all, loss."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn."""

    steps: int
    language_rate: float
    vision_rate: float = 0.0
    warmup: float = 0.05
    half: bool = False
    """Compute in bfloat16 (the weights stay in float32): twice as fast where a model is large."""


def train(member: Member, batches: Iterable[Sequence[Tensors]], schedule: Schedule, report: Report) -> None:
    """Train in place. Each step's batches are weighted by how many answer tokens they hold."""
    model = member.model.train()
    optimizer, scheduler = _optimizer(member, schedule)
    for step, parts in zip(range(schedule.steps), batches, strict=False):
        answers = [int((part["labels"] != IGNORED).sum()) for part in parts]
        optimizer.zero_grad()
        total = 0.0
        for part, count in zip(parts, answers, strict=True):
            with torch.autocast("cpu", torch.bfloat16, enabled=schedule.half):
                loss = answer_loss(member, part) * (count / sum(answers))
            torch.autograd.backward(loss)
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        report(step + 1, schedule.steps, total)
    model.eval()


def answer_loss(member: Member, batch: Tensors) -> torch.Tensor:
    """The mean cross-entropy of the answers' tokens."""
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    hidden = member.model.model(**inputs, use_cache=False).last_hidden_state[:, :-1]
    labels = batch["labels"][:, 1:]
    asked = labels != IGNORED
    return torch.nn.functional.cross_entropy(member.model.lm_head(hidden[asked]), labels[asked])


def warm_cosine(steps: int, warmup: float) -> Callable[[int], float]:
    """The factor on the learning rate at each step."""
    rising = max(1, round(steps * warmup))

    def factor(step: int) -> float:
        progress = min(1.0, max(0, step - rising) / max(1, steps - rising))
        return min((step + 1) / rising, 0.05 + 0.95 * (1 + math.cos(math.pi * progress)) / 2)

    return factor


def _optimizer(
    member: Member, schedule: Schedule
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    parts = zip(member.parameters(), (schedule.language_rate, schedule.vision_rate), strict=True)
    groups = [{"params": weights, "lr": rate} for weights, rate in parts if weights]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, warm_cosine(schedule.steps, schedule.warmup))
