"""Fronts, ties, axes and labels by numbers typed by hand."""

import itertools
import xml.etree.ElementTree as ElementTree

import pytest

from densenets.analysis.report.axes import Frame, Scale, of_epochs, scale_of
from densenets.analysis.report.front import front, stairs, tie_groups
from densenets.analysis.report.labels import Box, place_labels
from densenets.analysis.report.pareto import Point, on_front
from densenets.analysis.report.shapes import CORNERS, Line, Mark, Words, colour_class, corners, svg
from densenets.analysis.report.style import DARK, LIGHT, SHADES
from densenets.analysis.report.words import shortened


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], []),
        ([(1, 0.5)], [0]),
        ([(1, 0.1), (2, 0.2), (3, 0.3)], [0, 1, 2]),
        ([(1, 0.3), (2, 0.2), (3, 0.1)], [0]),
        ([(3, 0.3), (1, 0.1), (2, 0.05), (2, 0.2)], [1, 3, 0]),
        ([(1, 0.2), (1, 0.3)], [1]),  # of equal cost the better
        ([(1, 0.3), (2, 0.3)], [0]),  # of equal score the cheaper
        ([(1, 0.3), (1, 0.3), (2, 0.1)], [0, 1]),  # equal points stand together
        ([(2, 0.4), (1, 0.4), (1, 0.1), (3, 0.5), (3, 0.5)], [1, 3, 4]),
        ([(0, 0.0), (5, -0.1)], [0]),
    ],
)
def test_the_front_is_what_nobody_dominates(points: list[tuple[float, float]], expected: list[int]) -> None:
    assert front(points) == expected


def test_the_front_agrees_with_its_definition() -> None:
    points = [((7 * k) % 10, ((3 * k * k) % 11) / 10) for k in range(40)]

    def dominated(at: int) -> bool:
        cost, score = points[at]
        return any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in points)

    assert sorted(front(points)) == [at for at in range(40) if not dominated(at)]


def test_on_the_front_scores_that_the_ranking_calls_equal_are_equal() -> None:
    one, other = (0.1 + 0.2 + 0.3) / 3, (0.3 + 0.2 + 0.1) / 3
    assert one != other
    for cheap, dear in ((one, other), (other, one)):
        points = [Point("cheap", 0, 10, cheap, 0, 1, ""), Point("dear", 1, 99, dear, 0, 1, "")]
        assert [point.name for point in on_front(points)] == ["cheap"]


def test_the_front_is_drawn_as_stairs() -> None:
    assert stairs([(1, 0.1), (3, 0.3)]) == [(1, 0.1), (3, 0.1), (3, 0.3)]
    assert stairs([]) == []


def test_tied_models_share_a_group_only_where_all_of_it_is_tied() -> None:
    assert tie_groups(["a", "b", "c"], [("a", "b"), ("b", "c")]) == [["a", "b"], ["b", "c"]]  # a and c are not tied
    assert tie_groups(["a", "b", "c"], [("a", "b"), ("c", "b"), ("c", "a")]) == [["a", "b", "c"]]
    assert tie_groups(["a", "b"], []) == []
    assert tie_groups(["a", "b"], [("a", "gone"), ("a", "a")]) == []
    assert tie_groups([], []) == []


def test_a_long_chain_of_ties_is_no_work() -> None:
    """60 models in 20 blocks of three, tied with all but their own block: 3 ** 20 groups. 1,200 tied ones: one."""
    names = [f"{number:02}" for number in range(60)]
    ties = [(a, b) for a, b in itertools.combinations(names, 2) if int(a) // 3 != int(b) // 3]
    assert tie_groups(names, ties) is None
    assert tie_groups(names[:9], ties) is not None
    many = [str(number) for number in range(1200)]
    assert tie_groups(many, []) == []
    assert tie_groups(many, itertools.combinations(many[:200], 2)) == [many[:200]]


@pytest.mark.parametrize(
    ("values", "ticks"),
    [((0.42, 0.58), (0.45, 0.5, 0.55)), ((11, 31), (0, 10, 20, 30)), ((0.0, 0.0), (0, 0.2, 0.4, 0.6, 0.8, 1.0))],
)
def test_numbers_on_an_axis_are_round(values: tuple[float, ...], ticks: tuple[float, ...]) -> None:
    scale = scale_of(values, from_zero=values[0] in (0, 11))
    assert scale.ticks == pytest.approx(ticks)
    assert not scale.logarithmic
    assert all(0 <= scale.part(value) <= 1 for value in (*values, *ticks))


def test_a_wide_axis_is_logarithmic() -> None:
    scale = scale_of([20, 1000], from_zero=True, may_be_logarithmic=True)
    assert scale.logarithmic
    assert scale.ticks == (20, 50, 100, 200, 500, 1000)
    assert scale.part(20) < scale.part(200) < scale.part(1000) < 1


def test_both_ends_of_a_long_name_are_shown() -> None:
    assert shortened("v3-large-imagenet", 17) == "v3-large-imagenet"
    assert shortened("v3-large-1-ssdlite-320-imagenet", 17) == "v3-large…imagenet"
    assert shortened("a\nb", 9) == "a\\nb"


def test_epochs_are_whole() -> None:
    assert of_epochs(2).ticks == (0, 1, 2)
    assert of_epochs(24).ticks == (0, 5, 10, 15, 20, 25)


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.5], [-0.1, 0.1], [1e-9, 2e-9], [1e9, 3e9]])
def test_any_numbers_have_an_axis(values: list[float]) -> None:
    scale = scale_of(values)
    assert scale.low < scale.high
    assert scale.ticks


def test_places_are_px_with_y_upwards() -> None:
    frame = Frame(Scale(0, 10, False, (0, 10)), Scale(0, 1, False, (0, 1)), (170, 158), 56)
    assert frame.place(0, 0) == (56, 112)
    assert frame.place(10, 1) == (156, 12)
    assert frame.place(5, 0.5) == (106, 62)


def test_labels_of_crowded_points_do_not_cover_each_other() -> None:
    inside = Box(0, 0, 430, 350)
    points = [(200.0, 150.0), (206.0, 152.0), (203.0, 147.0), (210.0, 160.0), (420.0, 10.0), (8.0, 340.0)]
    texts = ["v1", "v2", "v3-large", "v3-small", "at the corner", "at the other corner"]
    labels = [label.box for label in place_labels(points, texts, inside)]
    assert all(one.overlap(other) == 0 for one, other in itertools.combinations(labels, 2))
    assert all(box.overlap(inside) == pytest.approx((box.x1 - box.x0) * (box.y1 - box.y0)) for box in labels)
    marks = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    assert not any(label.overlap(mark) for label in labels for mark in marks)


def test_neighbouring_series_differ_by_shape_and_colour() -> None:
    looks = [(colour_class(at), corners(at)) for at in range(24)]
    assert len(set(looks)) == 24
    assert all(one[1] != other[1] for one, other in itertools.pairwise(looks))
    assert len(set(CORNERS)) == len(CORNERS)


def test_a_plot_is_well_formed_whatever_the_names() -> None:
    name = '</svg><script>"&\x00\ud800'
    shapes = [Line([(0, 0), (1, 1)], "grid"), Mark(3, 3, 0, name), Mark(3, 3, 1), Words(1, 1, name, turned=True)]
    tree = ElementTree.fromstring(svg(shapes, (10, 10), name))
    assert [child.tag for child in tree] == ["polyline", "circle", "polygon", "text"]
    assert "</svg><script>" in (tree.get("aria-label") or "")


def _contrast(one: str, other: str) -> float:
    """After WCAG 2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_text_and_marks_have_enough_contrast(colours: dict[str, str]) -> None:
    for ink in ("ink", "quiet", "good", "bad", "accent"):
        for ground in ("card", "page", "soft"):
            assert _contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    assert _contrast(colours["ink"], colours["theirs"]) >= 4.5
    assert _contrast(colours["quiet"], colours["theirs"]) >= 4.5
    assert all(_contrast(colours[f"s{at}"], colours["card"]) >= 3 for at in range(8))


def test_numbers_in_the_heat_map_have_enough_contrast() -> None:
    assert all(_contrast(fill, ink) >= 4.5 for fill, ink in SHADES)
