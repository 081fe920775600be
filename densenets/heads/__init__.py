"""The heads, by the word that chooses each. Looking at the words imports no torch."""

import shlex
from typing import NamedTuple

from densenets.errors import InputError, printable


class Head(NamedTuple):
    """task: "detection" or "segmentation". place: "module:class"."""

    task: str
    place: str


HEADS: dict[str, Head] = {
    "ssd": Head("detection", "densenets.heads.ssd:SSD"),
    "ssdlite": Head("detection", "densenets.heads.ssd:SSDLite"),
    "faster-rcnn": Head("detection", "densenets.heads.faster_rcnn:FasterRCNN"),
    "faster-rcnn-fpn": Head("detection", "densenets.heads.faster_rcnn:FasterRCNNFPN"),
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


COMMANDS = {"detection": "det", "segmentation": "seg"}  # how the names of the commands of a task end


def refuse_other_task(head: str, task: str, place: str, again: str) -> None:
    """InputError for a run or checkpoint whose head is one of another task than the command's.

    again: the flag that took `place`, --resume or --checkpoint, under which the other command takes it.
    """
    if (own := task_of(head)) != task:
        verb, does = ("train", "goes on with") if again == "--resume" else ("eval", "judges")
        way = f"{verb}-{COMMANDS[own]} {again} {shlex.quote(place)}"
        raise InputError(f"{printable(place)}: is of {own} (head {head}), not of {task}; {printable(way)} {does} it")
