"""The running service under requests made from its own description: no 5xx, and no status that it does not tell of."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.serving.access import ACCESS, PUBLIC, Role
from tests.serving.conftest import House

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
START_JOBS = {("DELETE", "/users/{user_id}")}
"""Each request of these starts a process on the cluster."""

QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


@pytest.fixture(scope="session")
def described(served: House) -> Any:
    with served.client() as client:
        document = client.get("/openapi.json").raise_for_status().json()
    return schemathesis.openapi.from_dict(document)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
@pytest.mark.parametrize("entry", sorted({*ACCESS, *PUBLIC}), ids=" ".join)
def test_every_route_keeps_to_its_description(
    served: House, described: Any, entry: tuple[str, str], mode: GenerationMode
) -> None:
    """Jobs are asked about by an analyst, who may start none: what is generated must not train models here."""
    method, path = entry
    operation = described[path][method]
    if mode is GenerationMode.NEGATIVE and not (operation.path_parameters or operation.query or operation.body):
        return  # nothing that could be wrong
    role = Role.ANALYST if path.startswith("/admin") else Role.SERVICE
    headers = {"Authorization": f"Bearer {served.token('fuzz', role)}"}

    most = 3 if entry in START_JOBS else 25

    @settings(max_examples=most, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=QUIET)
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        case.call_and_validate(base_url=served.url, headers=headers, checks=CHECKS, timeout=20)

    ask()
