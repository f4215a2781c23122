"""mambapro sign."""

from __future__ import annotations

from pathlib import Path

import click

from ..options.shared import PATH, json_option, overwrite_option
from ..terminal.console import emit, needs, track


@click.command()
@click.argument("bundle", type=PATH)
@click.option("--key", type=PATH, required=True, help="Private key on P-256, P-384 or P-521, in PEM.")
@click.option("--password", envvar="MAMBAPRO_KEY_PASSWORD", help="Of the key; better in $MAMBAPRO_KEY_PASSWORD.")
@overwrite_option
@json_option
def sign(bundle: Path, key: Path, password: str | None, overwrite: bool, as_json: bool) -> None:
    """Sign the list of files of BUNDLE, SHA256SUMS.

    The format is that of sigstore's model-signing. The signature, SHA256SUMS.sig, is stored in the bundle. Later
    results of `check` are not signed and leave it valid; an artifact that is built later does not.
    """
    with needs("sign"):
        from ...runtime.verification.signing import sign_bundle

        emit(sign_bundle(bundle, key, password, overwrite, track), as_json)
