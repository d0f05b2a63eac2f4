"""Ray's own doors, knocked at without a token, or with a wrong one."""

import grpc
import httpx

JOB = {"entrypoint": "touch /tmp/never"}
SERVE_CALL = "/ray.serve.ASGIService/HandleRequest"


def job_api(dashboard: str, token: str | None) -> set[int]:
    """Statuses of reading, starting and deploying, which is running code."""
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    with httpx.Client(base_url=dashboard, headers=headers, trust_env=False, timeout=20) as client:
        answers = [client.get("/api/jobs/"), client.post("/api/jobs/", json=JOB), client.get("/nodes?view=summary")]
        answers.append(client.put("/api/serve/applications/", json={"applications": []}))
    return {answer.status_code for answer in answers}


def replica_call(port: int) -> grpc.StatusCode:
    """What a replica says to a call that brings no token; it would unpickle what it takes."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(SERVE_CALL, request_serializer=bytes, response_deserializer=bytes)
        return call.future(b"", timeout=10).code()
