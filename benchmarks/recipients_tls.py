"""The certificates of a benchmark's recipients, and of the worker that calls them."""

from pathlib import Path

from pipeline.adapters.certificates import CertificateAuthority


def write_certificates(folder: Path) -> None:
    """Make the folder with `ca.pem`, and `server` and `client` as `.pem` and `.key`, for 127.0.0.1."""
    folder.mkdir()
    authority = CertificateAuthority.create("recipients of a benchmark")
    (folder / "ca.pem").write_bytes(authority.certificate_pem)
    for name, usage in (("server", "server"), ("client", "client")):
        issued = authority.issue(name, hosts=("127.0.0.1",), usage=usage)
        (folder / f"{name}.pem").write_bytes(issued.certificate_pem)
        (folder / f"{name}.key").write_bytes(issued.key_pem)
