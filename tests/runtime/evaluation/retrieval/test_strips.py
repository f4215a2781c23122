"""Strips: which queries, what they show, how they look."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.runtime.data.modalities import MODALITIES
from mambapro.runtime.data.sample import Benchmark, ImageSource, Sample
from mambapro.runtime.evaluation.retrieval.metrics import evaluate_distances
from mambapro.runtime.evaluation.retrieval.strip_folder import LISTING, check_strips_folder, write_strips
from mambapro.runtime.evaluation.retrieval.strip_picture import draw_strip
from mambapro.runtime.evaluation.retrieval.strips import chosen_queries, ranked_strips
from PIL import Image

GREEN, RED = (0, 135, 60), (205, 20, 40)
#: Distances of one query to six gallery samples.
DISTANCES = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]])


@pytest.fixture
def benchmark(tmp_path):
    """One query; the gallery near to far: junk, wrong, right, wrong of the query's camera, right, wrong."""
    sources = {m: ImageSource(tmp_path / f"{i}.png") for i, m in enumerate(MODALITIES)}
    for source, grey in zip(sources.values(), (40, 120, 200), strict=True):
        Image.new("RGB", (12, 20), (grey, grey, grey)).save(source.path)
    labels = [(7, 0), (8, 1), (7, 1), (9, 0), (7, 2), (8, 2)]
    gallery = tuple(Sample(f"g{i}", sources, *label) for i, label in enumerate(labels))
    return Benchmark("drawn", (), (Sample("q", sources, 7, 0),), gallery, "camera", (16, 8))


@pytest.fixture
def strip(benchmark):
    """The strip of the one query."""
    labels = [7], [s.identity for s in benchmark.gallery], [0], [s.camera for s in benchmark.gallery]
    report = evaluate_distances(DISTANCES, *labels)
    (made,) = ranked_strips(benchmark, report, [0], DISTANCES, 1 - DISTANCES / 2, top=4)
    return made


class TestChosenQueries:
    def test_half_the_worst_the_others_up_to_the_best(self):
        """Six of twenty: the three worst, then evenly to the best."""
        precision = np.random.default_rng(0).permutation(np.arange(20) / 20)

        chosen = chosen_queries(precision, 6)

        assert (20 * precision[chosen]).round().astype(int).tolist() == [0, 1, 2, 3, 11, 19]

    @pytest.mark.parametrize("count", range(1, 12))
    def test_all_different_and_from_bad_to_good(self, count):
        """Any number gives that many different queries, or all there are, the worst one always."""
        precision = [0.5, 0.1, 0.9, 0.5, 0.5, 0.2, 0.3, 0.5]

        chosen = chosen_queries(precision, count)

        assert len(set(chosen)) == len(chosen) == min(count, 8)
        assert chosen[0] == 1
        assert [precision[i] for i in chosen] == sorted(precision[i] for i in chosen)
        assert count < 2 or chosen[-1] == 2


class TestRanking:
    def test_junk_is_left_out(self, strip):
        """Ranks count what is left; others of the query's camera stay."""
        assert [found.sample.name for found in strip.retrieved] == ["g1", "g2", "g3", "g4"]
        assert [found.right for found in strip.retrieved] == [False, True, False, True]
        assert strip.first_match == 2
        assert strip.retrieved[0].similarity == pytest.approx(0.9)

    def test_small_gallery(self, benchmark):
        """Where fewer than `top` are left, there are fewer columns."""
        report = evaluate_distances(DISTANCES, [7], [7, 8, 7, 9, 7, 8], [0], [0, 1, 1, 0, 2, 2])

        assert len(ranked_strips(benchmark, report, [0], DISTANCES, DISTANCES)[0].retrieved) == 5


class TestPicture:
    @pytest.mark.parametrize("size", [(256, 128), (128, 256)])
    def test_columns_are_told_apart(self, strip, size):
        """Each right column has green pixels and no red ones, each wrong column the other way, the query neither."""
        picture = np.array(draw_strip(strip, "drawn", size))
        width = (picture.shape[1] - 48) // 5
        columns = [picture[:, 42 + i * (width + 2) : 42 + (i + 1) * (width + 2) - 8] for i in range(5)]

        seen = [((c == GREEN).all(axis=2).sum() > 50, (c == RED).all(axis=2).sum() > 50) for c in columns]

        assert seen == [(False, False), (False, True), (True, False), (False, True), (True, False)]

    def test_frames_differ_without_colour(self, strip):
        """The bottom edge of a right frame is one line, that of a wrong one is dashed."""
        picture = np.array(draw_strip(strip, "drawn", (256, 128)))

        def lines(colour):
            found = (picture == colour).all(axis=2)
            edge = found[np.flatnonzero(found.any(axis=1))[-1]]
            return int((np.diff(edge.astype(int)) == 1).sum())

        assert lines(GREEN) == 2
        assert lines(RED) == 2 * 6

    def test_three_sensors_under_each_other(self, strip):
        """A column holds the three images, in order from the top."""
        picture = np.array(draw_strip(strip, "drawn", (256, 128)).convert("L"))
        middle = 38 + 92 // 2

        greys = [value for value in picture[60:, middle] if value in (40, 120, 200)]

        assert [greys.count(value) for value in (40, 120, 200)] == [128, 128, 128]
        assert greys == sorted(greys)

    def test_names_beyond_ascii(self, strip):
        """A name that Pillow's font cannot write is drawn with question marks."""
        named = replace(strip, query=replace(strip.query, name="東京"))

        assert (
            draw_strip(named, "drawn", (256, 128)).tobytes()
            == draw_strip(replace(strip, query=replace(strip.query, name="??")), "drawn", (256, 128)).tobytes()
        )


class TestFolder:
    def test_strips_are_replaced_only_where_they_are_ours(self, strip, tmp_path):
        """A folder of strips needs overwrite; any other folder is never replaced."""
        folder = tmp_path / "strips"
        first = write_strips(folder, [strip, strip], "drawn", (256, 128))
        with pytest.raises(InputError, match="overwrite"):
            check_strips_folder(folder, overwrite=False)
        write_strips(folder, [strip], "drawn", (256, 128), overwrite=True)

        assert [path.name for path in first] == ["001_q.png", "002_q.png"]
        assert sorted(path.name for path in folder.iterdir()) == ["001_q.png", "strips.json"]

    def test_a_folder_with_other_files_is_not_replaced(self, strip, tmp_path):
        """What somebody put beside the strips is never lost, a picture for one."""
        folder = tmp_path / "strips"
        write_strips(folder, [strip], "drawn", (256, 128))
        (folder / "mine.png").write_bytes(b"mine")

        with pytest.raises(InputError, match="holds other things"):
            check_strips_folder(folder, overwrite=True)
        with pytest.raises(InputError, match="holds other things"):
            write_strips(folder, [strip], "drawn", (256, 128), overwrite=True)
        assert (folder / "mine.png").read_bytes() == b"mine"

    def test_nothing_is_left_behind(self, strip, tmp_path):
        """An image that has become unreadable leaves no folder."""
        strip.query.sources["tir"].path.unlink()

        with pytest.raises(InputError, match=r"no image .*2\.png"):
            write_strips(tmp_path / "strips", [strip], "drawn", (256, 128))

        assert [path.name for path in tmp_path.iterdir() if path.is_dir() or "partial" in path.name] == []


def test_a_listing_that_is_no_file_is_not_waited_for(tmp_path):
    """A FIFO in the place of the listing makes the folder somebody else's at once."""
    folder = tmp_path / "strips"
    folder.mkdir()
    os.mkfifo(folder / LISTING)

    with pytest.raises(InputError, match="holds other things"):
        check_strips_folder(folder, overwrite=True)
