"""One training over two machines, as torchrun starts it: a process on each; they meet by what the environment says."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kills import differences

ROOT = Path(__file__).parent.parent.parent
FLAGS = ["--backbone=v3-small", "--width=0.35", "--size=64", "--batch-size=2", "--epochs=2", "--warmup=2"]
FLAGS += ["--augment=ssd", "--workers=0", "--lr=0.01", "--strategy=ddp", "--accelerator=cpu"]


def start(words: list[str], **surroundings: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "tools/train_det.py", *FLAGS, *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, cwd=ROOT, text=True, env={**os.environ, **surroundings}, **pipes)


def free_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_nodes_of_one_process_end_as_one_node_of_two(shapes: Callable[..., Path], tmp_path: Path) -> None:
    data = shapes(train=range(12), val=range(12, 17))
    alone = start([f"--data={data}", f"--out={tmp_path / 'alone'}", "--devices=2"])
    said, _ = alone.communicate(timeout=400)
    assert alone.returncode == 0, said
    port = free_port()
    nodes = []
    for rank in ("0", "1"):
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "1"}
        place |= {"GROUP_RANK": rank, "NODE_RANK": rank, "RANK": rank, "LOCAL_RANK": "0"}
        place |= {"TORCHELASTIC_RUN_ID": "two-nodes"}
        words = [f"--data={data}", f"--out={tmp_path / 'nodes'}", "--devices=1", "--num-nodes=2"]
        nodes.append(start(words, **place))
    for node in nodes:
        said, _ = node.communicate(timeout=400)
        assert node.returncode == 0, said
    assert differences(tmp_path / "alone", tmp_path / "nodes") == []
