"""Lightning's view of the processes that a launcher has started."""

import os

from lightning.fabric.plugins.environments import ClusterEnvironment

from genai.core.place import Place


class LaunchedCluster(ClusterEnvironment):
    """Repeats a ``Place``, so that nothing is typed twice and machines may have different numbers of processes.

    Args:
        place: of this process.
        has_own_device: whether each process sees only the GPU that it should use.
    """

    def __init__(self, place: Place, has_own_device: bool = False) -> None:
        super().__init__()
        self.place, self.has_own_device = place, has_own_device

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return os.environ["MASTER_ADDR"]

    @property
    def main_port(self) -> int:
        return int(os.environ["MASTER_PORT"])

    @staticmethod
    def detect() -> bool:
        return False  # it is chosen, never guessed

    def world_size(self) -> int:
        return self.place.world_size

    def set_world_size(self, size: int) -> None:
        """Do nothing: the launcher has set it."""

    def global_rank(self) -> int:
        return self.place.rank

    def set_global_rank(self, rank: int) -> None:
        """Do nothing: the launcher has set it."""

    def local_rank(self) -> int:
        return 0 if self.has_own_device else self.place.local_rank

    def node_rank(self) -> int:
        return self.place.node

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """Do nothing: whatever was launched is right."""
