"""`dip jwks`: the public keys that follow from signing keys, as the JWK set that bridges serve."""

from pathlib import Path

import click

from pipeline.domain.key_set import key_set
from pipeline.domain.signing import extension_key_of


@click.command()
@click.argument("keys", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def jwks(*, keys: tuple[Path, ...]) -> None:
    """Print the JWK set of signing keys (PEM files): the present one first, then the next or the former one.

    Recipients verify sequences, gaps and Standard Webhooks v1a with it. Give the output to the bridges as DIP_JWKS;
    it holds public keys only, and they serve it at /.well-known/jwks.json.
    """
    found: list[bytes] = []
    for path in keys:
        try:
            found.append(extension_key_of(path.read_bytes()).key.public_key().public_bytes_raw())
        except OSError as error:
            raise click.ClickException(f"{path}: cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise click.ClickException(f"{path}: {error}") from None
    click.echo(key_set(found))
