"""First lessons for a vision tower: each cell of a picture should look to the language model like the words for it.

The counterpart of the alignment stage that real multimodal models go through before their fine-tuning."""

import random
from collections.abc import Sequence

import torch

from pipelines.experiments.tiny.examples import Gallery, Tensors
from pipelines.experiments.tiny.models import Member
from pipelines.experiments.tiny.training import Report, warm_cosine
from pipelines.experiments.tiny.world import COLOURS, PLACES, SHAPES, Scene


def align_tower(
    member: Member, gallery: Gallery, steps: int, rate: float, rng: random.Random, report: Report, batch: int = 64
) -> None:
    """Train the vision tower and the projector alone, in place."""
    _, tower = member.parameters()
    optimizer = torch.optim.AdamW(tower, lr=rate, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, warm_cosine(steps, 0.05))
    words = [_embeddings(member, COLOURS), _embeddings(member, SHAPES)]
    for step in range(steps):
        indices = [rng.randrange(len(gallery.scenes)) for _ in range(batch)]
        features = cell_features(member, gallery.inputs(indices))
        looks = torch.tensor([_looks(gallery.scenes[index]) for index in indices])
        loss = _distance_to_words(features, words, looks)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        scheduler.step()
        report(step + 1, steps, float(loss.detach()))


def cell_features(member: Member, inputs: Tensors) -> torch.Tensor:
    """What the language model gets for each place: [picture, place, width]."""
    features = member.model.model.get_image_features(**inputs).pooler_output
    return torch.stack([picture[: len(PLACES)] for picture in features])


def _distance_to_words(features: torch.Tensor, words: Sequence[torch.Tensor], looks: torch.Tensor) -> torch.Tensor:
    """Small where a cell's features are the sum of its words' embeddings, and nearer to these than to any other's."""
    target = torch.stack([embeddings[look] for embeddings, look in zip(words, looks.unbind(-1), strict=True)]).sum(0)
    loss = torch.nn.functional.mse_loss(features, target) / target.var()
    for embeddings, look in zip(words, looks.unbind(-1), strict=True):
        loss = loss + torch.nn.functional.cross_entropy((features @ embeddings.T).flatten(0, 1), look.flatten())
    return loss


@torch.no_grad()
def _embeddings(member: Member, words: Sequence[str]) -> torch.Tensor:
    """One row a word as it stands inside a sentence, and a row of zeros for an empty cell."""
    table = member.model.get_input_embeddings().weight
    rows = [table[member.tokenizer(f" {word}").input_ids].mean(0) for word in words]
    return torch.stack([*rows, torch.zeros_like(rows[0])])


def _looks(scene: Scene) -> list[tuple[int, int]]:
    """The rows of `_embeddings` for each cell's colour and shape."""
    empty = (len(COLOURS), len(SHAPES))
    return [
        empty if thing is None else (COLOURS.index(thing.colour), SHAPES.index(thing.shape)) for thing in scene.cells
    ]
