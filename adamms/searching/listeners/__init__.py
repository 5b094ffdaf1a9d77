"""Who listens to a search beside MLflow: log lines, Ray's metrics, and progress bars. Each is a `Listener`."""

from adamms.searching.listeners.logs import log_lines
from adamms.searching.listeners.progress import ProgressBars
from adamms.searching.listeners.ray_metrics import count_in_ray

__all__ = ["ProgressBars", "count_in_ray", "log_lines"]
