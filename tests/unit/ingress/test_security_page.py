"""docs/SECURITY.md says what the code says: every refusal of a caller is in its table, with its settings."""

import ast
from pathlib import Path

import pytest

from pipeline.domain.signing import Flaw
from pipeline.ingress.identity import IdentifiedBy
from pipeline.settings import Settings
from pipeline.settings_text import variable

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "SECURITY.md").read_text(encoding="utf-8")
PLACES = (
    "pipeline/ingress/identity.py",
    "pipeline/ingress/client_certificates.py",
    "pipeline/domain/client_certificates.py",
)


def _slugs() -> set[str]:
    found = {flaw.value for flaw in Flaw}
    for place in PLACES:
        for node in ast.walk(ast.parse((ROOT / place).read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "slug":
                values = [one for one in ast.walk(node.value) if isinstance(one, ast.Constant)]
                found |= {str(one.value) for one in values}
    return found


def test_every_refusal_of_a_caller_is_explained() -> None:
    """Participants look the slug up that they were sent."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert _slugs() > {"client-certificate-revoked", "api-key-unknown"}, "or this test reads the wrong places"
    assert not [slug for slug in sorted(_slugs()) if not any(f"`{slug}`" in row for row in rows)]


def test_every_mode_of_identification_has_its_row() -> None:
    assert all(f"| `{mode}` " in PAGE for mode in IdentifiedBy)


@pytest.mark.parametrize("name", [
    "client_identified_by", "tls_client_certificate", "client_id_name", "tls_crl", "signing_crl", "webhook_crl",
    "crl_expired", "certificates_poll_s", "proxy_certificate_header", "proxy_addresses", "public_url", "clock_skew_s",
])  # fmt: skip
def test_every_setting_of_security_is_explained(name: str) -> None:
    assert hasattr(Settings(), name)
    assert variable(name) in PAGE
