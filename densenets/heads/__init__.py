"""The heads, by the word that chooses each. Looking at the words imports no torch."""

from typing import NamedTuple

from densenets.errors import InputError, printable


class Head(NamedTuple):
    """task: "detection" or "segmentation". place: "module:class"."""

    task: str
    place: str


HEADS: dict[str, Head] = {
    "ssd": Head("detection", "densenets.heads.ssd:SSD"),
    "ssdlite": Head("detection", "densenets.heads.ssd:SSDLite"),
    "raspp": Head("segmentation", "densenets.heads.aspp:RASPP"),
    "lraspp": Head("segmentation", "densenets.heads.aspp:LRASPP"),
    "lraspp-torchvision": Head("segmentation", "densenets.heads.aspp:LRASPPTorchvision"),
    "deeplabv3": Head("segmentation", "densenets.heads.aspp:DeepLabV3"),
}


def heads_of(task: str) -> list[str]:
    """The words of one task, in order."""
    return [word for word, head in HEADS.items() if head.task == task]


def task_of(head: str) -> str:
    """Raises InputError for a word that is no head."""
    if head not in HEADS:
        raise InputError(f"head: {printable(head)}: expected one of {', '.join(HEADS)}")
    return HEADS[head].task
