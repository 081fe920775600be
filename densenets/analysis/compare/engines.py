"""Who runs the cells: processes of this machine, or Ray wherever it has room. Both run the same supervisor."""

import contextlib
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol

from densenets.analysis.compare.supervisor import GRACE, Job, read_state, start, write_state
from densenets.errors import InputError, StorageError, printable

PAUSE = 0.2  # seconds between two looks
RETRIES = 3  # of a cell whose worker was lost
STORE = 100 << 20  # bytes of Ray's object store, which carries nothing here
MISSING = "--engine ray: Ray is not installed: pip install 'densenets[ray]'"
log = logging.getLogger(__name__)


class Stop:
    """SIGINT or SIGTERM while cells run: noted, so that every training is asked to save before this process ends."""

    def __init__(self) -> None:
        self.asked = 0
        self.before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        self.before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def listen(self) -> None:
        """Once more: a library has put handlers of its own in place."""
        for number in self.before:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = self.asked or number

    def __exit__(self, *fault: type[BaseException] | BaseException | TracebackType | None) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


class Engine(Protocol):
    """Runs jobs until each has ended or `stop` was asked for; their folders' state.json say how they ended.

    at_once: cells that share a machine; 0 where nobody knows. look: called several times a second, for what is shown
    meanwhile.
    """

    at_once: int

    def run(self, jobs: Sequence[Job], stop: Stop, look: Callable[[], None]) -> None: ...


def settle(job: Job, why: str) -> None:
    """Where nobody is left who could write down how a cell ended: it was lost. Where nobody can write it down, that is
    told, and the other cells go on."""
    state = read_state(Path(job.folder))
    if state.get("session") != job.session or state.get("state") == "running":
        try:
            write_state(Path(job.folder), {**state, "session": job.session, "state": "failed", "fault": why})
        except (StorageError, OSError) as fault:
            log.error("%s: %s; %s", printable(job.name), printable(why), printable(fault))


class LocalEngine:
    """Processes of this machine, so many at once."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once

    def run(self, jobs: Sequence[Job], stop: Stop, look: Callable[[], None]) -> None:
        waiting, running = list(jobs), dict[str, tuple[Job, subprocess.Popen[bytes]]]()
        try:
            while (waiting and not stop.asked) or running:
                while waiting and len(running) < self.at_once and not stop.asked:
                    self._begin(waiting.pop(0), running)
                if stop.asked:
                    _end(running)
                for name, (job, process) in list(running.items()):
                    if process.poll() is not None:
                        settle(job, f"its process ended with {process.returncode}")
                        del running[name]
                look()
                time.sleep(PAUSE)
        finally:
            _end(running)
            for _, process in running.values():
                process.wait()

    def _begin(self, job: Job, running: dict[str, tuple[Job, "subprocess.Popen[bytes]"]]) -> None:
        try:
            running[job.name] = (job, start(job))
        except OSError as fault:
            settle(job, f"its process cannot be started: {fault.strerror}")


def _end(running: dict[str, tuple[Job, "subprocess.Popen[bytes]"]]) -> None:
    """A second SIGTERM changes nothing."""
    for _, process in running.values():
        if process.poll() is None:
            process.terminate()


class RayEngine:
    """Tasks of a Ray cluster that sees the comparison's folder and the data under the same paths.

    RAY_ADDRESS names the cluster; without it an instance is started here for as long as this takes. A cell whose worker
    is lost runs again, and goes on from its last checkpoint.
    """

    def __init__(self, cpus: float, gpus: float) -> None:
        self.cpus, self.gpus, self.at_once = cpus, gpus, 0
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
        try:
            import ray
        except ImportError as fault:
            raise InputError(MISSING) from fault
        self.ray: Any = ray

    def run(self, jobs: Sequence[Job], stop: Stop, look: Callable[[], None]) -> None:
        with self._connected():
            stop.listen()  # Ray's own handler ends the process at once
            self._refuse_too_much()
            options = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_retries": RETRIES}
            task = self.ray.remote(**options)(_for_workers())
            running = {task.options(name=job.name).remote(job.text(), job.folder): job for job in jobs}
            end = None
            while running:
                done, _ = self.ray.wait(list(running), timeout=PAUSE)
                for reference in done:
                    self._take(reference, running.pop(reference), bool(stop.asked))
                if stop.asked and end is None:
                    end = time.monotonic() + GRACE
                    for reference in running:
                        self.ray.cancel(reference, force=False)
                if end is not None and time.monotonic() > end:
                    return
                look()

    def _take(self, reference: Any, job: Job, stopped: bool) -> None:
        try:
            self.ray.get(reference)
        except self.ray.exceptions.RayError as fault:
            if not stopped:
                lines = str(fault).strip().splitlines()
                settle(job, f"Ray lost it: {printable(lines[-1] if lines else type(fault).__name__)}")
        else:
            settle(job, "its process was killed")

    def _refuse_too_much(self) -> None:
        """A cell that asks for more than any node has would wait for ever."""
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        if not any(node.get("CPU", 0) >= self.cpus and node.get("GPU", 0) >= self.gpus for node in nodes):
            most = ", ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes)
            raise InputError(
                f"--cpus, --gpus: a cell asks for {self.cpus:g} CPUs and {self.gpus:g} GPUs; Ray's nodes have {most}"
            )

    @contextlib.contextmanager
    def _connected(self) -> Iterator[None]:
        own = not os.environ.get("RAY_ADDRESS")
        how: dict[str, Any] = {"address": "local", "include_dashboard": False, "object_store_memory": STORE}
        try:
            self.ray.init(log_to_driver=False, logging_level=logging.ERROR, **(how if own else {}))
        except (ConnectionError, RuntimeError, ValueError) as fault:
            lines = str(fault).strip().splitlines()
            raise InputError(f"--engine ray: {printable(lines[0] if lines else type(fault).__name__)}") from fault
        try:
            yield
        finally:
            self.ray.shutdown()


def _for_workers() -> Callable[[str, str], int]:
    """What a worker of Ray does: starts the cell's supervisor, which watches the worker. Defined in here, it travels as
    it is, and no worker imports torch for it."""

    def supervise(job: str, folder: str) -> int:
        import importlib.util
        import subprocess
        import sys
        import time

        package = importlib.util.find_spec("densenets")
        assert package is not None
        assert package.submodule_search_locations is not None
        script = f"{package.submodule_search_locations[0]}/analysis/compare/supervisor.py"
        command = [sys.executable, "-P", script, folder]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        try:
            assert process.stdin is not None
            process.stdin.write(job.encode())
            process.stdin.close()
            while process.poll() is None:
                time.sleep(0.2)
            return process.returncode
        except BaseException:  # ray.cancel interrupts between two steps of Python: never a wait
            process.terminate()
            process.wait()
            raise

    return supervise


def engine_of(word: str, at_once: int, cpus: float, gpus: float) -> Engine:
    return RayEngine(cpus, gpus) if word == "ray" else LocalEngine(at_once)
