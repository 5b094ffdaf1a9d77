"""The figures: plain data in, a `Drawing` out."""

from adamms.reporting.figures.answers import AnsweredPrompt, draw_answers
from adamms.reporting.figures.divergence import Curve, draw_divergence
from adamms.reporting.figures.drawing import Drawing
from adamms.reporting.figures.heatmap import draw_heatmap
from adamms.reporting.figures.phases import draw_phases, spell_seconds
from adamms.reporting.figures.ranking import RankedPair, draw_ranking

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
