"""The whole evaluation: rows, table, JSON, strips."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from mambapro.errors import ArtifactError, InputError
from mambapro.runtime.data.modalities import MODALITIES
from mambapro.runtime.data.preprocess import Preprocessing
from mambapro.runtime.data.sample import Benchmark, ImageSource, Sample
from mambapro.runtime.evaluation.retrieval.analysis import EvaluationOptions, evaluate_model, feature_parts
from mambapro.runtime.evaluation.retrieval.evaluate import evaluate_benchmark, extract_features
from mambapro.runtime.evaluation.retrieval.metrics import evaluate_distances
from mambapro.runtime.evaluation.retrieval.reranking import Reranking, reranked_distances
from PIL import Image

HALF = (0.5, 0.5, 0.5)
PRE = Preprocessing(16, 8, HALF, HALF)
EVERYTHING = EvaluationOptions(bootstrap=50, reranking=Reranking(5, 3), subsets=True, per_modality=True)


@pytest.fixture
def benchmark(tmp_path):
    """Twelve test samples of four identities and three cameras; identity 99 is a query without match.

    RGB shows the identity's colour, NIR the camera's brightness, TIR nothing.
    """
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (4, 3))
    samples = []
    for identity in (*range(4), 99):
        for camera in range(3 if identity < 99 else 1):
            rgb = np.clip(colours[identity % 4] + rng.integers(-40, 40, (20, 12, 3)), 0, 255)
            images = rgb, np.full((20, 12, 3), 60 * camera + 20), np.full((20, 12, 3), 200)
            sources = {m: ImageSource(tmp_path / f"{m}_{identity}_{camera}.png") for m in MODALITIES}
            for source, image in zip(sources.values(), images, strict=True):
                Image.fromarray(image.astype(np.uint8)).save(source.path)
            samples.append(Sample(f"{identity:04d}_{camera}", sources, identity, camera))
    return Benchmark("drawn", (), tuple(samples), tuple(s for s in samples if s.identity < 99), "camera", (16, 8))


def mean_colours(batch):
    """Each third the mean colour of a sensor, grey where it is missing; (N, 9)."""
    colours = [images.mean(axis=(1, 2)) - 127.5 for images in batch.images.values()]
    return np.concatenate([third * batch.mask[:, [i]] for i, third in enumerate(colours)], axis=1) + 1e-3


class TestRows:
    def test_all_rows(self, benchmark):
        """Whole, re-ranked, six incomplete sets, three thirds, in this order."""
        report = evaluate_model(benchmark, mean_colours, PRE, EVERYTHING)

        assert [(row.kind, row.sensors) for row in report.rows] == [
            ("whole", "rgb+nir+tir"),
            ("re-ranked", "rgb+nir+tir"),
            *(("subset", name) for name in ("rgb+nir", "rgb+tir", "nir+tir", "rgb", "nir", "tir")),
            *(("part", name) for name in ("rgb", "nir", "tir")),
        ]

    def test_whole_is_the_plain_evaluation(self, benchmark):
        """The first row is evaluate_benchmark's report, whatever else was asked for."""
        plain = evaluate_benchmark(benchmark, mean_colours, PRE)

        assert evaluate_model(benchmark, mean_colours, PRE, EVERYTHING).whole == plain
        assert len(evaluate_model(benchmark, mean_colours, PRE).rows) == 1

    def test_a_missing_sensor_is_missing_everywhere(self, benchmark):
        """RGB alone tells identities apart, the sensors that see none of them do not."""
        rows = {
            (row.kind, row.sensors): row.report for row in evaluate_model(benchmark, mean_colours, PRE, EVERYTHING).rows
        }

        assert rows["subset", "rgb"].map == 1.0
        assert rows["subset", "nir+tir"].map < 0.8
        assert rows["part", "rgb"].map == 1.0
        assert rows["part", "nir"].map < 0.8

    def test_reranked_row(self, benchmark):
        """It scores the same queries by the re-ranked distances of the whole feature."""
        plain, reranked = (row.report for row in evaluate_model(benchmark, mean_colours, PRE, EVERYTHING).rows[:2])

        parts = benchmark.query, benchmark.gallery
        features = [extract_features(part, mean_colours, PRE) for part in parts]
        ids, groups = zip(*(([s.identity for s in part], [s.camera for s in part]) for part in parts), strict=True)
        expected = evaluate_distances(reranked_distances(*features, Reranking(5, 3)), *ids, *groups)
        assert reranked.per_query_ap == pytest.approx(expected.per_query_ap)
        assert reranked.per_query_ap != plain.per_query_ap
        assert reranked.query_rows == plain.query_rows

    def test_absent_identities(self, benchmark):
        """The query without match is skipped, counted and told."""
        report = evaluate_model(benchmark, mean_colours, PRE)

        assert (report.whole.queries, report.whole.skipped_queries, report.whole.absent_queries) == (12, 1, 1)
        assert "1 more queries skipped: 1 of identities that the gallery lacks" in str(report)


class TestShown:
    def test_table(self, benchmark):
        """Intervals stand beside mAP and Rank-1; groups of rows have captions."""
        report = evaluate_model(benchmark, mean_colours, PRE, EVERYTHING)
        interval = report.rows[0].intervals.map

        assert f"{100 * report.map:.2f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}]" in str(report)
        assert "rgb+nir+tir, re-ranked" in str(report)
        assert "mid-grey" in str(report) and "one third" in str(report)
        assert "95 % interval from 50 bootstrap resamples" in str(report)

    def test_no_bootstrap(self, benchmark):
        """Without resamples there are no intervals."""
        report = evaluate_model(benchmark, mean_colours, PRE, EvaluationOptions(bootstrap=0))

        assert report.rows[0].intervals is None
        assert "[" not in str(report)

    def test_json(self, benchmark):
        """Plain values: the whole feature's on top, with those of each query, then the rows."""
        report = evaluate_model(benchmark, mean_colours, PRE, EVERYTHING, model="m")
        value = json.loads(json.dumps(report.to_json(), allow_nan=False))

        assert value["map"] == report.map and len(value["per_query_ap"]) == 12
        assert (value["model"], value["gallery"], len(value["rows"])) == ("m", 12, 11)
        low, high = value["rows"][0]["intervals"]["map"]
        assert low <= value["map"] <= high
        assert "per_query_ap" not in value["rows"][3]


class TestStrips:
    def test_written_with_a_listing(self, benchmark, tmp_path):
        """So many pictures as asked for, worst query first, each listed with what it shows."""
        options = EvaluationOptions(bootstrap=0, strips=tmp_path / "out" / "strips", strips_count=3)

        report = evaluate_model(benchmark, mean_colours, PRE, options)

        listing = json.loads((tmp_path / "out" / "strips" / "strips.json").read_text())["strips"]
        assert [entry["file"] for entry in listing] == [path.rsplit("/")[-1] for path in report.strips]
        assert len(listing) == 3
        precision = [entry["average_precision"] for entry in listing]
        assert precision == sorted(precision)
        assert precision[0] == min(report.whole.per_query_ap) and precision[-1] == max(report.whole.per_query_ap)

    def test_follow_the_reranking(self, benchmark, tmp_path):
        """With re-ranking, strips show its ranking: the first right one is where its report says."""
        options = EvaluationOptions(bootstrap=0, reranking=Reranking(3, 2), strips=tmp_path / "strips", strips_count=99)
        report = evaluate_model(benchmark, mean_colours, PRE, options)
        written = json.loads((tmp_path / "strips" / "strips.json").read_text())
        listing = written["strips"]

        first = [[found["right"] for found in entry["retrieved"]].index(True) + 1 for entry in listing]
        assert (len(listing), written["title"]) == (12, "drawn, re-ranked")
        assert first == [entry["first_match"] for entry in listing]
        assert sorted(first) == sorted(report.rows[1].report.per_query_first)

    def test_existing_folder_is_told_before_the_work(self, benchmark, tmp_path):
        """A folder of other things is never replaced, and no feature is computed first."""
        (tmp_path / "strips").mkdir()
        (tmp_path / "strips" / "mine.txt").touch()

        for overwrite in (False, True):
            options = EvaluationOptions(strips=tmp_path / "strips", overwrite=overwrite)
            with pytest.raises(InputError, match="strips"):
                evaluate_model(benchmark, None, PRE, options)

        assert [path.name for path in (tmp_path / "strips").iterdir()] == ["mine.txt"]


class TestRefusals:
    def test_features_without_thirds(self):
        """Ten values have no three equal parts."""
        with pytest.raises(InputError, match="10 values"):
            feature_parts(np.ones((2, 10)))

    @pytest.mark.parametrize("wrong", [{"bootstrap": -1}, {"seed": -1}, {"strips_count": 0}])
    def test_numbers(self, wrong):
        """Numbers that mean nothing are refused."""
        with pytest.raises(InputError, match="bootstrap >= 0"):
            EvaluationOptions(**wrong)

    def test_an_unreadable_image_is_named(self, benchmark):
        """The file's name is in the error."""
        benchmark.query[4].sources["nir"].path.write_bytes(b"")

        with pytest.raises(InputError, match=r"nir_1_1\.png is an empty file"):
            evaluate_model(benchmark, mean_colours, PRE, EVERYTHING)

    def test_nan_in_one_set(self, benchmark):
        """NaN for a set of sensors names the samples."""

        def broken(batch):
            return mean_colours(batch) * (1.0 if "rgb" in batch.present else np.nan)

        with pytest.raises(ArtifactError, match="0000_0"):
            evaluate_model(benchmark, broken, PRE, EVERYTHING)


class TestSkipBad:
    OPTIONS = EvaluationOptions(bootstrap=0, subsets=True, skip_bad=True)

    def test_bad_samples_are_left_out_of_query_and_gallery(self, benchmark):
        """The rows are those of a benchmark without them, and the report names them with the reason."""
        bad = benchmark.query[1], benchmark.query[5]
        bad[0].sources["tir"].path.write_bytes(b"")
        bad[1].sources["rgb"].path.unlink()
        rest = replace(
            benchmark,
            query=tuple(sample for sample in benchmark.query if sample not in bad),
            gallery=tuple(sample for sample in benchmark.gallery if sample not in bad),
        )

        report = evaluate_model(benchmark, mean_colours, PRE, self.OPTIONS, batch_size=4)

        expected = evaluate_model(rest, mean_colours, PRE, self.OPTIONS)
        assert report.rows == expected.rows
        assert report.gallery == len(benchmark.gallery) - 2
        assert [name for name, _ in report.left_out] == ["0000_1", "0001_2"]
        assert "2 samples left out, an image of theirs cannot be used: 0000_1, 0001_2" in str(report)
        assert "empty file" in report.to_json()["left_out"][0]["reason"]
        assert expected.left_out == ()

    def test_without_it_the_bad_samples_of_a_batch_are_named(self, benchmark):
        """InputError with the first reason and the names of the others."""
        for sample in benchmark.query[:3]:
            sample.sources["rgb"].path.write_bytes(b"")

        with pytest.raises(InputError, match=r"rgb_0_0\.png is an empty file.*2 more .*: 0000_1, 0000_2"):
            evaluate_model(benchmark, mean_colours, PRE)

    def test_nothing_readable_is_an_error(self, benchmark):
        """InputError where no sample is left."""
        for sample in benchmark.query:
            sample.sources["rgb"].path.write_bytes(b"")

        with pytest.raises(InputError, match="None of the 13 samples can be read"):
            evaluate_model(benchmark, mean_colours, PRE, self.OPTIONS)


def test_strips_show_16_bit_images_in_the_models_range(benchmark, tmp_path):
    """Pictures of retrievals scale 16-bit images as the evaluation did, not from the full range."""
    for sample in benchmark.query:
        values = np.arange(7000, 7000 + 20 * 12, dtype=np.uint16).reshape(20, 12)
        Image.fromarray(values).save(sample.sources["tir"].path)
    pre = PRE.with_ranges({"tir": (7000, 7255)}, ("rgb", "nir", "tir"))

    report = evaluate_model(
        benchmark, mean_colours, pre, EvaluationOptions(bootstrap=0, strips=tmp_path / "strips", strips_count=1)
    )

    with Image.open(report.strips[0]) as picture:
        tir = np.asarray(picture)[-130:-20, 50:100]
    assert (np.unique(tir).size) > 60
