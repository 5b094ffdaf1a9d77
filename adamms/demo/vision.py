"""First lessons for a vision tower: name the colour and the shape in each cell, before any language is involved."""

import random

import torch

from adamms.demo.examples import Gallery, Tensors
from adamms.demo.models import Member
from adamms.demo.training import Report, warm_cosine
from adamms.demo.world import COLOURS, PLACES, SHAPES, Scene


def pretrain_tower(
    member: Member, gallery: Gallery, steps: int, rate: float, rng: random.Random, report: Report, batch: int = 64
) -> float:
    """Train tower and projector through a throw-away linear reader; returns the share of looks named rightly."""
    width = member.language_model.config.hidden_size
    reader = torch.nn.Linear(width, len(COLOURS) + len(SHAPES) + 2)
    language = {id(parameter) for parameter in member.language_model.parameters()}
    head = {id(parameter) for parameter in member.model.lm_head.parameters()}
    tower = [parameter for parameter in member.model.parameters() if id(parameter) not in language | head]
    optimizer = torch.optim.AdamW([*tower, *reader.parameters()], lr=rate, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, warm_cosine(steps, 0.05))
    right = 0.0
    for step in range(steps):
        indices = [rng.randrange(len(gallery.scenes)) for _ in range(batch)]
        guesses = reader(picture_features(member, gallery.inputs(indices))).split(len(COLOURS) + 1, dim=-1)
        looks = torch.tensor([_looks(gallery.scenes[index]) for index in indices]).unbind(-1)
        loss = sum(
            (torch.nn.functional.cross_entropy(guess.flatten(0, 1), look.flatten()) for guess, look in zip(guesses, looks, strict=True)),
            start=torch.zeros(()),
        )
        right = float(torch.stack([(guess.argmax(-1) == look).float().mean() for guess, look in zip(guesses, looks, strict=True)]).mean())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        report(step + 1, steps, float(loss.detach()))
    return right


def picture_features(member: Member, inputs: Tensors) -> torch.Tensor:
    """What the language model gets for each place: [picture, place, width]."""
    features = member.model.model.get_image_features(**inputs).pooler_output
    return torch.stack([picture[: len(PLACES)] for picture in features])


def _looks(scene: Scene) -> list[tuple[int, int]]:
    """Colour and shape of each cell as numbers, the last number for an empty one."""
    nothing = (len(COLOURS), len(SHAPES))
    return [
        nothing if thing is None else (COLOURS.index(thing.colour), SHAPES.index(thing.shape)) for thing in scene.cells
    ]
