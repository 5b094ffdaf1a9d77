"""The merge methods, one file a family; alpha weighs the donor, everywhere.

Base and donor are both fine-tunes of the ancestor; what fine-tuning added to it is a task vector. `density` is always
the share of a task vector that is kept, `scale` always multiplies the merged task vector (lambda in the papers).

A new method is a file like these, and its name in the first import below.
"""

from adamms.merging.methods import breadcrumbs, dare, della, linear, slerp, task_arithmetic, ties  # noqa: F401
from adamms.merging.methods.coefficient import Coefficient, coefficients
from adamms.merging.methods.method import Method, Operands, Statistic
from adamms.merging.methods.registry import METHODS, describe_methods, register

__all__ = ["METHODS", "Coefficient", "Method", "Operands", "Statistic", "coefficients", "describe_methods", "register"]
