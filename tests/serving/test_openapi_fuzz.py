"""The running service under requests made from its own description: no 5xx, and no status that it does not tell of."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from app.serving.access import Role
from tests.serving.conftest import House

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
CHECKS += [unsupported_method, ignored_auth]


@pytest.fixture(scope="session")
def described(served: House) -> Any:
    with served.client() as client:
        document = client.get("/openapi.json").raise_for_status().json()
    return schemathesis.openapi.from_dict(document)


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
def test_every_route_keeps_to_its_description(case: Case, served: House) -> None:
    """Jobs are asked about by an analyst, who may start none: what is generated must not train models here."""
    role = Role.ANALYST if case.path.startswith("/admin") else Role.SERVICE
    case.call_and_validate(
        base_url=served.url,
        headers={"Authorization": f"Bearer {served.token('fuzz', role)}"},
        checks=CHECKS,
        timeout=20,
    )
