from genai.cli.compose import _groups, compose
from genai.core.data import Source
from genai.core.instantiate import instantiate
from genai.core.paths import config_dir
from genai.data.registry import compatible_data, modality_classes, source_classes
from genai.modalities.image import Image
from genai.modalities.text import Text
from genai.toy.data.audio import ToyAudio
from genai.toy.data.image import ToyImages
from genai.toy.data.score import ToyNotes
from genai.toy.data.video import ToyVideo


def test_a_member_of_several_forms_is_one_name() -> None:
    assert set(source_classes()["world"]) == {ToyImages, ToyAudio, ToyVideo}
    assert len(source_classes()["stdlib"]) == 1
    assert _groups()["data"] == sorted(source_classes())
    assert "hydra" not in _groups() and not any("/" in group for group in _groups())


def test_what_fits_a_modality() -> None:
    assert modality_classes()["image"] is Image and modality_classes()["text"] is Text
    assert "world" in compatible_data(Image) and "stdlib" not in compatible_data(Image)
    assert compatible_data(Text) == ["chat", "preferences", "prepared", "stdlib", "tasks", "text_folder", "webdataset"]
    assert "parquet" in compatible_data(Image)


def test_the_world_takes_the_form_of_the_modality() -> None:
    for words in ([], ["data=world", "modality=image"], ["modality=image", "data=world"], ["experiment=world_two"]):
        assert compose("train", words).values["data"]["_target_"] == "genai.toy.data.image.ToyImages"


def test_the_sounds_of_the_world_are_built_with_their_score() -> None:
    import yaml

    node = yaml.safe_load((config_dir() / "data" / "world" / "audio.yaml").read_text())
    source = instantiate({**node, "sample_rate": 16_000, "items": 10}, Source, "data")  # type: ignore[type-abstract]
    assert isinstance(source, ToyAudio) and isinstance(source.prompt_features, ToyNotes)
    assert source.train[0].media.sample_rate == 16_000
