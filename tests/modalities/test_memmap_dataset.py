import pickle
from pathlib import Path

import pytest

from genai.core.data import ItemRandom, PackedDataset, Source
from genai.core.first_items import FirstItems
from genai.core.loader import TrainBatches
from genai.data.text import Stdlib
from genai.modalities.audio import Audio
from genai.modalities.base import Modality
from genai.modalities.image import Image
from genai.modalities.memmap_dataset import MemmapDataset
from genai.modalities.text import Text
from genai.modalities.video import Video
from genai.toy.data.audio import ToyAudio
from genai.toy.data.image import ToyImages
from genai.toy.data.video import ToyVideo

CASES: list[tuple[Modality, Source]] = [
    (Text("bytes", None, block=16), Stdlib(0.99)),
    (Image(16, flip=True), ToyImages(16, items=20)),
    (Audio(8000, crop=10), ToyAudio(items=20)),
    (Video(16, frames=4), ToyVideo(16, frames=4, items=20)),
]


@pytest.mark.parametrize(("modality", "source"), CASES, ids=["text", "image", "audio", "video"])
def test_a_pickled_data_set_opens_its_files_again(modality: Modality, source: Source, tmp_path: Path) -> None:
    modality.fit(source.train, tmp_path)
    packed = modality.pack(source.train, tmp_path)
    assert isinstance(packed, MemmapDataset)
    pickled = pickle.dumps(packed)
    assert b"red" not in pickled and b"flute" not in pickled
    restored: PackedDataset = pickle.loads(pickled)
    random = ItemRandom(0, [0, 1, 2], [3, 4, 5])
    one, two = (dataset.batch([3, 4, 5], random) for dataset in (packed, restored))
    assert len(restored) == len(packed) and one.x.equal(two.x) and one.prompts == two.prompts
    batches = TrainBatches(FirstItems(packed, 6), 4, seed=0)  # what a worker gets on systems without fork
    assert pickle.loads(pickle.dumps(batches))[1].x.equal(batches[1].x)
