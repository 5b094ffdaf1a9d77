"""What a search leaves on the MLflow dashboard: a parent run, and a child run for every candidate."""

from adamms.tracking.candidate import CandidateRecord
from adamms.tracking.parameters import search_parameters
from adamms.tracking.tracker import SearchTracker

__all__ = ["CandidateRecord", "SearchTracker", "search_parameters"]
