"""Damaged YAML and argv through the command line's parser: settings, or one line."""

import random
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import yaml
from cases import check_lines
from mutations import ODD_TEXTS, damage_bytes, damage_document

from densenets.cli import COMMANDS
from densenets.command_line import CONFIG_FOLDERS, parse
from densenets.config import TrainDetection
from densenets.errors import InputError

MEMORY = 2**30
VALUES = [
    *ODD_TEXTS, "1", "0", "-1", "1e400", "nan", "[1,2]", "[[[[", "{a: 1}", "{", "&a [*a]", "@file", "=", "null", "true",
    "!!python/object:os.system x", "~", "- 1", "'", "*x", "<<: 1", "--", "-", "-h", "1_000", "0x1f", "12:30",
]  # fmt: skip
SNIPPETS = [
    "a: &a [1,1]\nb: &b [*a,*a]\n", "ssd: os.path\n", "ssd: {class_path: os.system}\n", "ssd: /etc/passwd\n",
    "lr: !!python/name:os.system\n", "---\nlr: 1\n---\n", "config: x.yaml\n", "%YAML 9.9\n---\n", "{" * 60, "[" * 2000,
    "<<: {lr: 0.1}\n", "lr: 0.1\nlr: 0.2\n", "\t", "\0", "\ufefflr: 1\n", "ssd:\n  class_path: x\n", "1: 2\n",
    "null: 1\n", "? [a]\n: 1\n", "lr: null\n",
]  # fmt: skip


def prepare(folder: Path) -> Callable[[random.Random], str]:
    texts = [path.read_text() for place in CONFIG_FOLDERS for path in sorted(place.glob("*/*.yaml"))]
    assert texts
    names = [item.name for item in fields(TrainDetection)] + ["ssd.loss", "ssd.scales", "rcnn.sizes", "rcnn.fpn"]
    names += ["config", "help-me", "ssd"]
    file = folder / "c.yaml"

    def try_one(rng: random.Random) -> str:
        in_file = rng.random() < 0.5
        if in_file:
            file.write_bytes(_yaml(rng.choice(texts), rng))
        words = [f"--config={file}"] if in_file else _words(names, rng)
        command = COMMANDS["train-det"] if in_file else rng.choice(list(COMMANDS.values()))
        try:
            parse(command.settings, words, "test", command.default_config)
        except InputError as fault:
            check_lines(str(fault))
            return "file refused" if in_file else "words refused"
        return "file read" if in_file else "words read"

    return try_one


def _yaml(text: str, rng: random.Random) -> bytes:
    match rng.randrange(4):
        case 0:
            return damage_bytes(text.encode(), rng)
        case 1:
            return (text + rng.choice(SNIPPETS)).encode("utf-8", "surrogatepass")
        case 2:
            return yaml.safe_dump(damage_document(yaml.safe_load(text), rng)).encode("utf-8", "surrogatepass")
    lines = text.splitlines()
    rng.shuffle(lines)
    return "\n".join(lines).encode()


def _words(names: list[str], rng: random.Random) -> list[str]:
    words: list[str] = []
    for _ in range(rng.choice((1, 1, 1, 3))):
        name = rng.choice(names).replace("_", rng.choice("_-"))
        value = rng.choice(
            [*VALUES, damage_bytes(rng.choice(("0.5", "320", "v2")).encode(), rng).decode(errors="replace")]
        )
        words += rng.choice(
            ([f"--{name}={value}"], [f"--{name}", value], [f"--{name}"], [value], [f"--{name}", value, "2"])
        )
    stop = ("--help", "-h", "--print-config", "--print_config")
    return [word for word in words if not word.startswith(stop)]
