"""check_bundle: every file hashed, the goldens replayed, a departure is an error."""

from __future__ import annotations

import numpy as np
import pytest
from mambapro.errors import ArtifactError, ParityError
from mambapro.runtime.bundle.bundle import Bundle
from mambapro.runtime.bundle.checksums import GOLDEN, PARITY, write_sums
from mambapro.runtime.evaluation.gates.agreement import cosine_departures
from mambapro.runtime.run_options import RunOptions
from mambapro.runtime.session import Session
from mambapro.runtime.verification.check import check_bundle
from mambapro.runtime.verification.listed_files import verify_files
from mambapro.runtime.verification.replay import replay


class TestCheckBundle:
    def test_good_bundle_passes(self, bundle):
        """The report counts files and samples, and names the provider and the largest departure."""
        report = check_bundle(bundle, device="cpu")

        (base,) = report.artifacts
        assert (report.files, report.samples, base.provider) == (4, 7, "CPUExecutionProvider")
        assert base.largest_departure <= 1e-10
        assert "7 samples replayed" in str(report)
        assert report.to_json()["artifacts"][0]["limit"] == 1e-8

    @pytest.mark.parametrize("cameras", [0, 4])
    @pytest.mark.parametrize("batch", [None, 3])
    def test_every_kind_of_graph_is_replayed(self, make_bundle, cameras, batch):
        """With and without camera input, dynamic and fixed batch."""
        assert check_bundle(make_bundle(cameras=cameras, batch=batch), device="cpu").samples == 7

    def test_departure_above_the_limit_is_a_parity_error(self, bundle):
        """ParityError names the worst sample; the hashes are right, so only the replay can tell."""
        with np.load(bundle / GOLDEN) as arrays:
            content = dict(arrays)
        content["embedding"][4, 0] += 0.01
        np.savez(bundle / GOLDEN, **content)
        write_sums(bundle)

        with pytest.raises(ParityError, match=r"\(sample 4\), the limit 1e-08"):
            check_bundle(bundle, device="cpu")

    @pytest.mark.parametrize("name", [GOLDEN, PARITY])
    def test_changed_byte_in_a_file_that_open_does_not_hash_is_found(self, bundle, name):
        """ArtifactError names the file."""
        content = bytearray((bundle / name).read_bytes())
        content[-1] ^= 1
        (bundle / name).write_bytes(content)

        with pytest.raises(ArtifactError, match=f"{name} is not the file"):
            check_bundle(bundle, device="cpu")

    def test_unlisted_file_is_an_error(self, bundle):
        """ArtifactError names a file that SHA256SUMS does not list, in subfolders too."""
        (bundle / "sub").mkdir()
        (bundle / "sub" / "stray").write_bytes(b"")

        with pytest.raises(ArtifactError, match="sub/stray is not listed"):
            check_bundle(bundle, device="cpu")

    def test_all_damaged_files_are_named_at_once(self, bundle):
        """One error for two changed files, hashed even where the bundle was opened unverified."""
        for name in (GOLDEN, PARITY):
            (bundle / name).write_bytes(b"")

        with pytest.raises(ArtifactError) as caught:
            verify_files(Bundle.open(bundle, verify=False))

        assert GOLDEN in str(caught.value) and PARITY in str(caught.value)


class TestCosineDepartures:
    def test_scale_does_not_matter(self):
        """Parallel rows have departure 0, orthogonal ones 1, opposite ones 2."""
        a = np.array([[1.0, 0.0]] * 3)
        b = np.array([[5.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])

        np.testing.assert_allclose(cosine_departures(a, b), [0.0, 1.0, 2.0], atol=1e-15)

    def test_tiny_angles_keep_their_digits(self):
        """An angle of 1e-9 gives 5e-19, far below what 1 - cosine in float64 can show."""
        found = cosine_departures(np.array([[1.0, 0.0]]), np.array([[1.0, 1e-9]]))

        np.testing.assert_allclose(found, [5e-19], rtol=1e-6)

    @pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
    def test_rows_without_direction_are_nan(self, bad):
        """Zero and non-finite rows give NaN, which no limit lets pass."""
        assert np.isnan(cosine_departures(np.ones((1, 2)), np.array([[bad, 0.0]]))).all()


class TestReplay:
    """A session whose output is set by the test, against the goldens of the bundle."""

    @staticmethod
    def replayed(bundle, limit, change):
        """Replay the goldens with `change` applied to PyTorch's own outputs."""
        opened = Bundle.open(bundle)
        golden = opened.golden()
        with Session(opened, RunOptions(device="cpu")) as session:
            session.run = lambda batch: {name: change(value.copy()) for name, value in golden.outputs.items()}
            return replay(session, golden, limit)[0]

    def test_nan_is_refused(self, bundle):
        """An output that is not a number is no agreement, whatever the limit."""

        def nan(rows):
            rows[0] = np.nan
            return rows

        with pytest.raises(ParityError, match="does not return PyTorch's numbers"):
            self.replayed(bundle, 2.0, nan)

    def test_the_largest_distance_is_held_against_the_limit(self, bundle):
        """One opposite row among equal ones fails a limit that the mean would meet; both stand in the gate."""

        def opposite(rows):
            rows[0] = -rows[0]
            return rows

        with pytest.raises(ParityError):
            self.replayed(bundle, 1.9, opposite)
        gate = self.replayed(bundle, 2.0 + 1e-9, opposite)
        assert gate.largest == pytest.approx(2.0) and gate.mean < 1.9
