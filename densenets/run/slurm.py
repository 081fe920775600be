"""SLURM: a job whose time is up saves at a step boundary and queues itself again.

#SBATCH --requeue --signal=USR1@90
srun tools/train_det.py --out RUN --resume auto ...
"""

import logging
import os
import subprocess

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

log = logging.getLogger(__name__)


def without_requeue() -> list[SLURMEnvironment]:
    """For Lightning's plugins: its own requeue saves inside of the signal handler, in the middle of a step."""
    return [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []


def requeue() -> None:
    """Ask SLURM to run this job again; what goes wrong is told, no more: the checkpoint is there."""
    job = os.environ.get("SLURM_JOB_ID", "")
    try:
        subprocess.run(["scontrol", "requeue", job], check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as fault:
        log.warning("warning: scontrol requeue %s: %s; submit the job again by hand", job, fault)
