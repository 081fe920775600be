"""Options that were set for another head are told to have no effect, by every command that takes them."""

from pathlib import Path

import pytest
from shapes import write_split

from densenets.cli import main
from densenets.config import RCNNOptions, SSDOptions
from densenets.config.detection import tell_without_effect

SSD, RCNN = SSDOptions(scales=[0.1] * 7), RCNNOptions(fpn="light", nms_iou=0.6)


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ("ssdlite", "--rcnn.fpn, --rcnn.nms-iou: no effect on ssdlite"),
        ("faster-rcnn-fpn", "--ssd.scales: no effect on faster-rcnn-fpn"),
        ("faster-rcnn", "--ssd.scales, --rcnn.fpn: no effect on faster-rcnn"),
    ],
)
def test_they_are_named(caplog: pytest.LogCaptureFixture, head: str, told: str) -> None:
    tell_without_effect(head, SSD, RCNN)
    assert caplog.messages == [f"warning: {told}"]


@pytest.mark.parametrize("head", ["ssd", "faster-rcnn", "faster-rcnn-fpn"])
def test_nothing_is_said_of_what_counts(caplog: pytest.LogCaptureFixture, head: str) -> None:
    tell_without_effect(head, SSDOptions(), RCNNOptions())
    tell_without_effect("ssdlite", SSD, RCNNOptions())
    tell_without_effect("faster-rcnn-fpn", SSDOptions(), RCNN)
    assert caplog.messages == []


def test_every_command_says_it(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set/annotations").mkdir(parents=True)
    for split in ("train", "val"):
        write_split(tmp_path / "set", split, range(4))
    net = ["--backbone=v3-small", "--head=ssdlite", "--size=64", "--rcnn.fpn=light"]
    train = ["--epochs=1", "--batch-size=4", "--workers=0", "--accelerator=cpu", "--out=run"]
    for command in (
        ["train-det", "--data=set", *train],
        ["check-data", "--data=set"],
        ["profile", "--rounds=3", "--images=set"],
    ):
        caplog.clear()
        assert main([*command, *net]) == 0
        assert caplog.messages.count("warning: --rcnn.fpn: no effect on ssdlite") == 1
