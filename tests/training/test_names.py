"""What the folder of a run is called."""

from pathlib import Path

import pytest

from genai.cli.compose import compose
from genai.core.errors import UserError
from genai.training.names import run_name


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["modality=text"], "text-gpt"),
        (["modality=text", "data=stdlib"], "text-gpt"),
        (["modality=image", "data=world", "data.items=9"], "image-diffusion"),
        (["model=gan", "name="], "image-gan"),
        (["modality=text", "data=text_folder", "data.path=/a/b/Jane Austen.txt"], "text-gpt-Jane-Austen"),
        (["modality=text", "data=text_folder", "data.path=books/**/*.txt"], "text-gpt-books"),
        (["modality=text", "data=text_folder", "data.path=*.txt"], "text-gpt"),
        (["modality=text", "data=text_folder", "data.path=.."], "text-gpt"),
        (["data=image_folder", "data.path=/x/10_red cat/"], "image-diffusion-10_red-cat"),
        (["data=image_folder", "data.path=a=b, [${c}] 'd'; rm *"], "image-diffusion"),
        (["data=image_folder", "data.path=a=b, $c 'd'; rm"], "image-diffusion-a-b-c-d-rm"),
        (["data=image_folder", "data.path=\udcff\u00e9 "], "image-diffusion-\u00e9"),
        (["data=image_folder", f"data.path={'x' * 99}"], f"image-diffusion-{'x' * 40}"),
        (["experiment=fashion_mnist", "data.path=my_sets"], "image-diffusion-FashionMNIST"),
        (["experiment=world_two"], "image-diffusion-world_two"),
        (["modality=audio", "data=world_soundtrack"], "audio-wavenet-world_soundtrack"),
        (["data._target_=genai.data.in_memory.InMemory"], "image-diffusion-InMemory"),
        (["modality=text", "name=a/b: 'Try 2', n\u00e9w"], "text-gpt-a-b-Try-2-n\u00e9w"),
        (["modality=text", "data=text_folder", "data.path=books", "name=true"], "text-gpt-true"),
    ],
)
def test_a_run_is_named_after_its_data_or_by_a_word(words: list[str], name: str) -> None:
    assert run_name(compose("train", words)) == name


def test_the_folder_has_the_name(small: list[str], tmp_path: Path) -> None:
    import genai
    from genai.runs.run import Run

    folder = Run(genai.fit(*small, "steps=1", "name=first try").file.parent.parent).folder  # type: ignore[union-attr]
    assert folder.parent.parent == tmp_path / "runs" and folder.name[9:] == "text-gpt-first-try"
    with pytest.raises(UserError, match="name= names a new run"):
        genai.fit(f"resume={folder}", "steps=2", "name=second")
