from __future__ import annotations

import re
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

GB = 1 << 30
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # what proc_pid_clear_refs(5) takes for it


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """How much memory an engine had at most while it worked on something, in bytes.

    Attributes:
        resident: of host memory, in all processes of one engine together.
        gpu: that torch had allocated on the fullest of its GPUs; 0 without one.
    """

    resident: int = 0
    gpu: int = 0

    def __or__(self, other: PeakMemory) -> PeakMemory:
        """The larger of both: of one engine at different times, or of engines that do not share a machine."""
        return PeakMemory(max(self.resident, other.resident), max(self.gpu, other.gpu))

    def beside(self, other: PeakMemory) -> PeakMemory:
        """Of two processes of one engine, each with a GPU of its own."""
        return PeakMemory(self.resident + other.resident, max(self.gpu, other.gpu))

    def to_gb(self) -> dict[str, float]:
        """As the dashboard calls them; what was not there, or not measured, is left out."""
        found = {"peak_memory_gb": self.resident, "peak_gpu_memory_gb": self.gpu}
        return {name: count / GB for name, count in found.items() if count}


NO_MEMORY = PeakMemory()


def take_peak(device: torch.device) -> PeakMemory:
    """This process's peaks since the last call; the next ones count from now on."""
    import torch

    gpu = 0
    if device.type == "cuda":
        gpu = torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
    return PeakMemory(_take_resident(), gpu)


def _take_resident() -> int:
    """Where the kernel does not let us count anew, the peak since the process began."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text(encoding="ascii"))
        CLEAR.write_text(RESET_PEAK, encoding="ascii")
    except OSError:
        found = None
    kilobytes = int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes << 10
