"""The criteria that a candidate is chosen by. To add one, write a file like these and import it below:

def lengths_differ(left: Sequence[str], right: Sequence[str]) -> Floats: ...

register(Criterion("length", lengths_differ, combine="sum"))
"""

from adamms.selecting.criteria import changes, embedding, likelihood, votes  # noqa: F401  (they register theirs)
from adamms.selecting.criteria.criterion import CRITERIA, PAPER, Criterion, get_criterion, register, without_scores

__all__ = ["CRITERIA", "PAPER", "Criterion", "get_criterion", "register", "without_scores"]
