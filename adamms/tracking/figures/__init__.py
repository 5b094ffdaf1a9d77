"""The figures: plain data in, a `Drawing` out."""

from adamms.tracking.figures.answers import AnsweredPrompt, draw_answers
from adamms.tracking.figures.divergence import Curve, draw_divergence
from adamms.tracking.figures.drawing import Drawing
from adamms.tracking.figures.heatmap import draw_heatmap
from adamms.tracking.figures.phases import draw_phases, spell_seconds
from adamms.tracking.figures.ranking import RankedPair, draw_ranking

__all__ = [
    "AnsweredPrompt",
    "Curve",
    "Drawing",
    "RankedPair",
    "draw_answers",
    "draw_divergence",
    "draw_heatmap",
    "draw_phases",
    "draw_ranking",
    "spell_seconds",
]
