"""What the machine of the search is busy with: CPU, memory, disk, network and GPUs, under MLflow's own names."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

INTERVAL_SECONDS = 15.0


class MachineMonitor:
    """A thread that measures now and then and hands the values on; `system/...` is where MLflow shows them."""

    def __init__(self, report: Callable[[Mapping[str, float]], None], interval: float = INTERVAL_SECONDS) -> None:
        self._report, self._interval = report, interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="machine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        monitors = _monitors()
        while True:
            stopped = self._stop.wait(self._interval)
            values: dict[str, float] = {}
            for monitor in monitors:
                monitor.collect_metrics()
                values |= {f"system/{name}": value for name, value in monitor.aggregate_metrics().items()}
                monitor.clear_metrics()
            self._report(values)
            if stopped:
                return


def _monitors() -> list[Any]:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    monitors: list[Any] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    try:
        monitors.append(GPUMonitor())
    except Exception:  # no NVIDIA GPU, or no library that sees it
        return monitors
    return monitors
