"""Signatures of bundles: good for the files that were signed, for the right key, and after a check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mambapro.errors import ArtifactError, InputError
from mambapro.runtime.bundle.artifact import Sidecar
from mambapro.runtime.bundle.bundle import Bundle
from mambapro.runtime.bundle.catalog import add_artifact
from mambapro.runtime.bundle.checksums import CHECKS, MODEL, SIGNATURE, SUMS, write_sums
from mambapro.runtime.verification.check import check_bundle

pytest.importorskip("model_signing")

from mambapro.runtime.verification.signing import sign_bundle, verify_bundle


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    """keys(name) -> private and public key on P-256, in PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = tmp_path_factory.mktemp("keys")

    def make(name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        public.write_bytes(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        return private, public

    return make


@pytest.fixture(scope="module")
def mine(keys: Callable[[str], tuple[Path, Path]]) -> tuple[Path, Path]:
    """A pair of keys."""
    return keys("mine")


def test_signed_bundle_verifies(bundle: Path, mine: tuple[Path, Path]) -> None:
    """The signature is that of sigstore's own tool over SHA256SUMS, and the bundle still passes its check."""
    from model_signing import verifying

    private, public = mine
    sign_bundle(bundle, private)

    assert verify_bundle(bundle, public).files == 4
    verifying.Config().use_elliptic_key_verifier(public_key=public).verify(bundle / SUMS, bundle / SIGNATURE)
    check_bundle(bundle, "cpu")


def test_check_leaves_the_signature_good(
    bundle: Path, changed: Path, mine: tuple[Path, Path], sidecar_of: Callable[..., Sidecar]
) -> None:
    """What a check finds is written outside of what is signed."""
    made = sidecar_of(changed, precision="fp16", state="unverified", max_departure=1e-4)
    add_artifact(bundle, made, {made.file: changed})
    sign_bundle(bundle, mine[0])

    check_bundle(bundle, "cpu")

    assert (bundle / CHECKS).exists() and Bundle.open(bundle).artifacts[1].state == "verified"
    verify_bundle(bundle, mine[1])


def test_changed_bundle_does_not_verify(bundle: Path, mine: tuple[Path, Path]) -> None:
    """A file with a right hash in a new list, a file with a wrong one, and a file too many: ArtifactError."""
    sign_bundle(bundle, mine[0])
    good = (bundle / MODEL).read_bytes()
    (bundle / MODEL).write_bytes(good + b"\n")

    with pytest.raises(ArtifactError, match=r"model\.onnx is not the file"):
        verify_bundle(bundle, mine[1])
    write_sums(bundle)
    with pytest.raises(ArtifactError, match=r"SHA256SUMS\.sig is no signature of"):
        verify_bundle(bundle, mine[1])
    (bundle / MODEL).write_bytes(good)
    write_sums(bundle)
    verify_bundle(bundle, mine[1])
    (bundle / "surplus").touch()
    with pytest.raises(ArtifactError, match="surplus is not listed"):
        verify_bundle(bundle, mine[1])


def test_other_keys_and_damage(
    bundle: Path, mine: tuple[Path, Path], keys: Callable[[str], tuple[Path, Path]], tmp_path: Path
) -> None:
    """Another key, no signature, a damaged one: ArtifactError. A file that is no key: InputError."""
    with pytest.raises(ArtifactError, match="was not signed"):
        verify_bundle(bundle, mine[1])
    sign_bundle(bundle, mine[0])
    with pytest.raises(ArtifactError, match="is no signature"):
        verify_bundle(bundle, keys("other")[1])
    for no_key in (bundle / MODEL, tmp_path / "nowhere", tmp_path):
        with pytest.raises(InputError):
            verify_bundle(bundle, no_key)
        with pytest.raises(InputError):
            sign_bundle(bundle, no_key, overwrite=True)
    for content in (b"", b"{}", b"[" * 100_000, b"\xff"):
        (bundle / SIGNATURE).write_bytes(content)
        with pytest.raises(ArtifactError, match="is no signature"):
            verify_bundle(bundle, mine[1])


def test_signature_is_not_replaced_unasked(bundle: Path, mine: tuple[Path, Path]) -> None:
    """InputError without overwrite; an artifact that is built later needs a new signature."""
    sign_bundle(bundle, mine[0])
    with pytest.raises(InputError, match="--overwrite"):
        sign_bundle(bundle, mine[0])

    sign_bundle(bundle, mine[0], overwrite=True)

    verify_bundle(bundle, mine[1])
    assert replace(Bundle.open(bundle), verify=False).sums == Bundle.open(bundle).sums
