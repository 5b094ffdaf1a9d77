"""What a search leaves to look at: an MLflow run for it and for every candidate, figures, and a report."""

from adamms.reporting.report import Story, settings_text, write_report
from adamms.runs.candidate import CandidateRecord
from adamms.runs.costs import Costs
from adamms.tracking.parameters import search_parameters
from adamms.tracking.sweep_tracker import SweepTracker
from adamms.tracking.tracker import SearchTracker

__all__ = [
    "CandidateRecord",
    "Costs",
    "SearchTracker",
    "Story",
    "SweepTracker",
    "search_parameters",
    "settings_text",
    "write_report",
]
