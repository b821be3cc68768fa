#!/usr/bin/env python3
"""Draw docs/architecture.svg: the rooms of genai and their imports, read from the files.

    .venv/bin/python scripts/draw_architecture.py

An arrow that follows from a chain of others is left out. ``tests/test_architecture.py`` compares the picture with the
imports.
"""

import ast
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "architecture.svg"

FLOORS = {
    "version": "the version",
    "core": "batches, splits, instantiating configs, cache, errors",
    "sandbox": "code of strangers, run without harm",
    "media": "text, picture, sound, clip: files of every kind",
    "trust": "what files say of where they come from",
    "runs": "run folders, checkpoints",
    "speech": "text to phones, phones to times",
    "networks": "GPT, U-Net, GAN, WaveNet: plain modules",
    "adapters": "small changes of a network's weights",
    "methods": "how networks learn and sample",
    "modalities": "media as tensors, and back",
    "exchange": "weights of other tools, in and out",
    "data": "where examples come from",
    "report": "the page and its plots",
    "inference": "a trained model as a value",
    "metrics": "what evaluate measures",
    "rewards": "scores of sampled answers",
    "toy": "a world with exact answers",
    "cli": "words, Hydra, recorded words",
    "training": "the bridge to Lightning",
    "server": "models over HTTP, for OpenAI's clients",
    "commands": "one file a command",
    "top": "genai.load, fit, measure; genai.NAME",
}
"""Rooms from below, and what is in them: each imports only itself and lower ones. ``top``: loose files of genai/."""

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 232, 58, 26, 46, 20


def module_name(path: Path) -> str:
    """``genai.core.data`` for its file; a package's name for its ``__init__.py``."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported_names(path: Path) -> set[str]:
    """Modules and names that a file imports anywhere: lazily and for type checking, too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or ""} | {f"{node.module}.{name.name}" for name in node.names}
    return names


def room_of(module: str) -> str:
    """The room in which a module of genai stands."""
    part = module.split(".")[1] if "." in module else "top"
    return part if part in FLOORS else "top"


def room_imports() -> dict[str, set[str]]:
    """Of each room, the other rooms that its files import."""
    files = {module_name(path): path for path in sorted((ROOT / "genai").rglob("*.py"))}
    rooms: dict[str, set[str]] = {room: set() for room in FLOORS}
    for module, path in files.items():
        targets = {name for name in imported_names(path) if name in files and name != "genai"}
        rooms[room_of(module)] |= {room_of(name) for name in targets} - {room_of(module)}
    return rooms


def without_implied(rooms: dict[str, set[str]]) -> dict[str, set[str]]:
    """The arrows that no chain of other arrows implies (transitive reduction)."""

    def below(room: str) -> set[str]:
        return rooms[room].union(*(below(target) for target in rooms[room]))

    return {
        room: {t for t in targets if not any(t in below(u) for u in targets - {t})} for room, targets in rooms.items()
    }


def levels(rooms: dict[str, set[str]]) -> list[list[str]]:
    """Rooms by the length of the longest chain of imports below them, lowest first; each above what it imports."""
    depth: dict[str, int] = {}
    for room in [floor for floor in FLOORS if floor in rooms]:  # from below, so that what a room imports is known
        depth[room] = 1 + max((depth[target] for target in rooms[room]), default=-1)
    rows: list[list[str]] = []
    position: dict[str, float] = {}
    arrows = without_implied(rooms)
    for level in range(max(depth.values()) + 1):
        row = [room for room in FLOORS if depth.get(room) == level]
        centers = {room: sum(position[t] for t in sorted(arrows[room])) / max(1, len(arrows[room])) for room in row}
        rows.append(sorted(row, key=lambda room: centers[room]))
        position |= {room: number / max(1, len(row) - 1) for number, room in enumerate(rows[-1])}
    return rows


def draw() -> str:
    """The SVG."""
    rooms = {room: targets - {"version"} for room, targets in room_imports().items() if room != "version"}
    rows = levels(rooms)[::-1]
    widest = max(map(len, rows))
    total = MARGIN * 2 + widest * WIDTH + (widest - 1) * GAP_X, MARGIN * 2 + len(rows) * (HEIGHT + GAP_Y) - GAP_Y
    places: dict[str, tuple[float, float]] = {}
    for row, names in enumerate(rows):
        left = (total[0] - len(names) * (WIDTH + GAP_X) + GAP_X) / 2
        places |= {
            name: (left + column * (WIDTH + GAP_X), MARGIN + row * (HEIGHT + GAP_Y))
            for column, name in enumerate(names)
        }
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total[0]} {total[1]}" font-family="sans-serif">',
        '<marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#5b6b7b"/></marker>',
        f'<rect width="{total[0]}" height="{total[1]}" fill="#ffffff"/>',
    ]
    arrows = without_implied(rooms)
    for room, targets in arrows.items():
        ordered = sorted(targets, key=lambda name: places[name])
        for number, target in enumerate(ordered, 1):
            x1, y1 = places[room][0] + WIDTH * number / (len(ordered) + 1), places[room][1] + HEIGHT
            sources = sorted((name for name in arrows if target in arrows[name]), key=lambda name: places[name])
            x2 = places[target][0] + WIDTH * (sources.index(room) + 1) / (len(sources) + 1)
            y2, middle = places[target][1], (y1 + places[target][1]) / 2
            parts.append(
                f'<path d="M{x1:.0f} {y1:.0f}C{x1:.0f} {middle:.0f} {x2:.0f} {middle:.0f} {x2:.0f} {y2 - 2:.0f}" '
                'fill="none" stroke="#5b6b7b" stroke-width="1.3" marker-end="url(#arrow)"/>'
            )
    for room, (x, y) in places.items():
        title = "genai/*.py" if room == "top" else f"genai/{room}/"
        color = "#fdf1d8" if room == "toy" else "#e3eefb"
        parts.append(
            f'<rect x="{x:.0f}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="7" fill="{color}" stroke="#8aa4c0"/>'
            f'<text x="{x + 10:.0f}" y="{y + 24}" font-size="15" font-weight="bold">{title}</text>'
            f'<text x="{x + 10:.0f}" y="{y + 44}" font-size="{11 if len(FLOORS[room]) < 40 else 9.5}" fill="#334">'
            f"{escape(FLOORS[room])}</text>"
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8", newline="\n")
    print(PICTURE.relative_to(ROOT))
