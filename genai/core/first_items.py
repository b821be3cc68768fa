"""The beginning of a packed data set, to test whether a model can learn it by heart."""

from collections.abc import Sequence
from dataclasses import dataclass

from genai.core.batch import Batch
from genai.core.data import ItemRandom, PackedDataset, packed_prompts


@dataclass(frozen=True)
class FirstItems:
    """The first ``count`` items of a packed data set."""

    packed: PackedDataset
    count: int

    def __len__(self) -> int:
        return min(self.count, len(self.packed))

    @property
    def prompts(self) -> Sequence[str]:
        """One prompt for each item; empty if there are none."""
        return packed_prompts(self.packed)[: self.count]

    def batch(self, indices: Sequence[int], random: ItemRandom | None) -> Batch:
        """Return items ``indices``, as the whole data set does."""
        return self.packed.batch(indices, random)
