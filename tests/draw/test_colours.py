import subprocess
import sys

import numpy as np
import pytest

from densenets.draw import colours


def test_a_colour_does_not_depend_on_the_number_of_classes():
    assert colours.palette(200)[:20] == colours.palette(20)
    assert colours.palette(2) == colours.palette(3)[:2]


@pytest.mark.parametrize(("count", "least"), [(7, 0.09), (20, 0.07), (80, 0.03)])
def test_colours_stay_apart(count: int, least: float):
    lab = colours.seen(np.array(colours.palette(count)))[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + np.eye(count)
    assert apart.min() > least


def test_the_first_colours_stay_apart_for_the_colour_blind():
    for lab in colours.seen(np.array(colours.palette(6))):
        apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + np.eye(6)
        assert apart.min() > 0.06


def test_text_reads_on_every_colour():
    def luminance(colour: tuple[int, int, int]) -> float:
        return float(np.dot((np.array(colour) / 255) ** 2.2, (0.2126, 0.7152, 0.0722)))

    for fill in colours.palette(100):
        dark, light = sorted((luminance(fill), luminance(colours.ink(fill))))
        assert (light + 0.05) / (dark + 0.05) > 3


def test_a_command_that_draws_nothing_does_not_wait_for_the_libraries():
    code = "import sys, densenets.draw; sys.exit('PIL' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
