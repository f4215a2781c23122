"""mambapro verify."""

from __future__ import annotations

from pathlib import Path

import click

from ..options.shared import PATH, json_option
from ..terminal.console import emit, needs, track


@click.command()
@click.argument("bundle", type=PATH)
@click.option("--key", type=PATH, required=True, help="Public key in PEM.")
@click.option("--signature", type=PATH, help="The signature; default: SHA256SUMS.sig in the bundle.")
@json_option
def verify(bundle: Path, key: Path, signature: Path | None, as_json: bool) -> None:
    """Verify the signature of BUNDLE and all hashes.

    Nothing is loaded. Exit code 7 where it fails.
    """
    with needs("sign"):
        from ...runtime.verification.signing import verify_bundle

        emit(verify_bundle(bundle, key, signature, track), as_json)
