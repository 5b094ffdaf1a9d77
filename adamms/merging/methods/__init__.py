"""The merge methods, one file a family; alpha weighs the donor, everywhere.

Base and donor are both taken as fine-tunes of the ancestor; what fine-tuning added to it is a task vector. A `density`
is always the share that is kept, `scale` always multiplies the merged task vector (lambda in the papers).
"""

from adamms.merging.methods.breadcrumbs import Breadcrumbs
from adamms.merging.methods.dare import DareLinear, DareTies
from adamms.merging.methods.della import Della
from adamms.merging.methods.linear import Linear
from adamms.merging.methods.method import Found, Method, Operands
from adamms.merging.methods.slerp import Slerp
from adamms.merging.methods.task_arithmetic import MetaGpt, ModelStock, TaskArithmetic
from adamms.merging.methods.ties import Ties

METHODS: dict[str, type[Method]] = {
    "linear": Linear,
    "slerp": Slerp,
    "task_arithmetic": TaskArithmetic,
    "ties": Ties,
    "dare_linear": DareLinear,
    "dare_ties": DareTies,
    "metagpt": MetaGpt,
    "della": Della,
    "breadcrumbs": Breadcrumbs,
    "model_stock": ModelStock,
}

__all__ = ["METHODS", "Found", "Method", "Operands"]
