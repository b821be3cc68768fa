"""``python -m genai prepare``: turn data into shards that training reads at once, in several processes.

It takes the words of ``genai.train``. A call that was stopped goes on when it is repeated.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from genai.cli.compose import CommandConfig, launch
from genai.cli.exit_codes import exit_on_error
from genai.cli.overrides import with_base_words, with_package_model
from genai.core.errors import UserError
from genai.core.limits import check_processes, num_cores
from genai.core.terminal import one_line

if TYPE_CHECKING:
    from genai.data.prepared import PreparedIndex

HELP = """Turn data into shards that training reads at once, in several processes. Nothing is trained.

Examples:
python -m genai prepare modality=image modality.size=64 data=webdataset data.path=my_tars out=prepared
python -m genai prepare modality=text data=text_folder data.path=my_texts out=prepared processes=8
python -m genai.train   modality=text data=prepared data.path=prepared

Options: those of python -m genai.train, of which it uses modality=, data= and plugins=, and
  out=FOLDER      folder of the shards; needed. A call that was stopped goes on with the same words
  processes=N     number of processes; default: the cores of this machine"""
FLAGS = ("-m", "--multirun", "resume=")


def main() -> None:
    """Run the command."""
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        print(HELP)
        return

    def run() -> None:
        folder, processes, overrides = parse_words(words)
        launch(
            lambda config: prepare_data(config, folder, processes),
            "train",
            with_base_words(with_package_model(overrides)),
        )

    exit_on_error(run)


def parse_words(words: list[str]) -> tuple[Path, int, list[str]]:
    """Return ``out``, ``processes`` and the words for the config. Raises ``UserError``."""
    if unused := next((word for word in words if word.startswith(FLAGS)), None):
        raise UserError(f"{unused}: prepare reads the data of new runs. Leave it out.")
    values = dict(word.split("=", 1) for word in words if word.startswith(("out=", "processes=")))
    if not values.get("out"):
        raise UserError("out= is missing: name a folder for the shards.")
    processes = values.get("processes", str(num_cores()))
    if not processes.isdecimal() or int(processes) < 1:
        raise UserError(f"processes={processes}: it should be a whole number, 1 or more.")
    check_processes(int(processes), "processes")
    return (
        Path(values["out"]).expanduser(),
        int(processes),
        [word for word in words if word.split("=")[0] not in values],
    )


def prepare_data(config: CommandConfig, folder: Path, processes: int) -> None:
    """Prepare the data of a training run, and say what they are. Raises ``UserError`` if they cannot be used."""
    from genai.data.partition_writer import DataNodes
    from genai.data.prepare import prepare
    from genai.training.codec import with_codec
    from genai.training.config import TrainSettings
    from genai.training.parts import TrainingParts

    config, _ = with_codec(config, None)
    TrainingParts.parse(config)
    nodes = DataNodes(config.values["data"], config.values["modality"], TrainSettings.parse(config.settings).plugins)
    index = prepare(nodes, folder, processes)
    print(*map(one_line, _report(index, config, folder)), sep="\n", flush=True)


def _report(index: "PreparedIndex", config: CommandConfig, folder: Path) -> list[str]:
    """Return what was prepared, and how to train on it."""
    lines = []
    for name, shards in (("train", index.train), ("val", index.val)):
        size = sum(shard.num_bytes for shard in shards)
        items = sum(shard.items for shard in shards)
        lines.append(f"{name:<10}{items:,} items in {len(shards):,} shards, {size / 1e6:,.1f} MB")
    if index.num_skipped:
        lines.append(f"{'not used':<10}{index.num_skipped:,}, such as: {index.skipped[0]}")
    if index.personal:
        lines += [f"{'searched':<10}{line}" for line in (str(index.personal), *index.personal.notes)]
    words = [word for word in config.overrides if word.split("=")[0].split(".")[0] == "modality"]
    return [*lines, f"{'train':<10}python -m genai.train {' '.join(words)} data=prepared data.path={folder}"]


if __name__ == "__main__":
    exit_on_error(main)
