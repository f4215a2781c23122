"""Signatures of bundles in the format of sigstore's model-signing, with a key pair and without a network.

The signed file is SHA256SUMS, and through it every file that it lists; checks.json, which changes during use, is not
included. The signature is stored next to it and needs `pip install "mambapro[sign]"`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...common.files.atomic import write_atomically
from ...common.files.locks import temporary_folder
from ...common.files.open_files import read_limited, require_regular
from ...common.files.targets import require_free
from ...common.foreign_text import shown_text
from ...common.progress import Track, silent
from ...common.records import Report
from ...errors import ArtifactError, InputError
from ..bundle.bundle import Bundle
from ..bundle.checksums import LARGEST_TEXT, SIGNATURE, SUMS, sums_text
from .listed_files import verify_files


@dataclass(frozen=True)
class SignatureReport(Report):
    """Report of a signature that was just written or verified."""

    bundle: str
    signature: str
    files: int
    done: str

    def __str__(self) -> str:
        return f"{self.done}: {shown_text(self.bundle)}, {self.files} files, by {shown_text(self.signature)}"


def sign_bundle(
    path: str | os.PathLike[str],
    key: Path,
    password: str | None = None,
    overwrite: bool = False,
    track: Track = silent,
) -> SignatureReport:
    """Sign a bundle whose hashes agree; write SHA256SUMS.sig into it.

    Args:
        path: the bundle.
        key: private key on an elliptic curve (P-256, P-384 or P-521), in PEM.
        password: of the key, if it has one.
        overwrite: replace a signature.
        track: shows progress.

    Raises:
        InputError: no bundle, no such key, or a signature exists.
        SetupError: the disk is full or permission is missing.
        ArtifactError: the bundle is not complete.
    """
    from model_signing import signing

    require_regular(key, "private key")
    bundle = Bundle.open(path)
    verify_files(bundle, track)
    if bundle.files.read(SUMS, LARGEST_TEXT) != sums_text(bundle.sums).encode():
        raise ArtifactError(
            f"{shown_text(bundle.folder / SUMS)} is not as mambapro writes it. Export the bundle again."
        )
    target = bundle.folder / SIGNATURE
    require_free(target, overwrite, in_bundle=True)
    with _listed(bundle) as listed:
        try:
            config = signing.Config().use_elliptic_key_signer(private_key=key, password=password)
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{shown_text(key)} cannot be used as a private key: {shown_text(error)}. It must be a key on P-256, "
                "P-384 or P-521 in PEM, with its password if it has one."
            ) from error
        signature = listed.with_name(SIGNATURE)
        config.sign(listed, signature)
        content = signature.read_bytes()
    bundle.require_current()
    write_atomically(target, lambda file: file.write_bytes(content), overwrite=overwrite, in_bundle=True)
    return SignatureReport(str(path), str(target), len(bundle.sums), "signed")


def verify_bundle(
    path: str | os.PathLike[str], key: Path, signature: Path | None = None, track: Track = silent
) -> SignatureReport:
    """Verify that the owner of the private key signed a bundle, and that every file is unchanged.

    Args:
        path: the bundle.
        key: public key in PEM.
        signature: None = SHA256SUMS.sig in the bundle.
        track: shows progress.

    Raises:
        InputError: no bundle or no such key.
        ArtifactError: no signature, one of another key or another list, or changed files.
    """
    bundle = Bundle.open(path)
    require_signature(bundle, key, signature)
    verify_files(bundle, track)
    return SignatureReport(
        str(path), str(signature or bundle.folder / SIGNATURE), len(bundle.sums), "the signature is good"
    )


def require_signature(bundle: Bundle, key: Path, signature: Path | None = None) -> None:
    """Raise ArtifactError unless the list of files that `bundle` was opened with is signed.

    Its files are compared with that list when they are read.

    Raises:
        InputError: no such key.
        ArtifactError: no signature, or one of another key or another list.
    """
    from model_signing import verifying

    require_regular(key, "public key")
    where = signature or bundle.folder / SIGNATURE
    with _listed(bundle) as listed:
        signature_file = listed.with_name(SIGNATURE)
        signature_file.write_bytes(_signature(bundle, signature))
        try:
            config = verifying.Config().use_elliptic_key_verifier(public_key=key)
        except (ValueError, TypeError) as error:
            raise InputError(f"{shown_text(key)} cannot be used as a public key: {shown_text(error)}.") from error
        try:
            config.verify(listed, signature_file)
        except Exception as error:  # the library raises many types; all mean that the verification failed
            raise ArtifactError(
                f"{shown_text(where)} is no signature of {shown_text(bundle.folder)} by {shown_text(key)}: "
                f"{shown_text(error) or type(error).__name__}. Do not use the bundle, or get it again."
            ) from error


def _signature(bundle: Bundle, path: Path | None) -> bytes:
    if path is not None:
        return read_limited(path, LARGEST_TEXT, "signature")
    try:
        return bundle.files.read(SIGNATURE, LARGEST_TEXT)
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{shown_text(bundle.folder)} has no {SIGNATURE}. It was not signed (mambapro sign), or lost its signature."
        ) from error


@contextmanager
def _listed(bundle: Bundle) -> Iterator[Path]:
    """Yield a copy of the list that the bundle was opened with; the file in the folder may have been replaced."""
    with temporary_folder("copy") as folder:
        path = folder / SUMS
        path.write_text(sums_text(bundle.sums), encoding="utf-8", newline="\n")
        yield path
