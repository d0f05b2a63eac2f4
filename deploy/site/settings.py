"""The page of the settings: every variable, its default and what it means."""

from app.settings import Settings
from deploy.site.tables import Schema, default_of, kind_of, table

_INTRODUCTION = """# Settings

Addresses and secrets come from the environment, and nowhere else. For each variable `LEARNREC_X` the first of these
that says anything counts: the variable; the file that `LEARNREC_X_FILE` names; the file `LEARNREC_X` in the folder
`LEARNREC_SECRETS_DIR`; `LEARNREC_X` in the JSON of the AWS secret `LEARNREC_SECRETS_AWS`; what `learnrec up` started;
the default. `learnrec doctor --production FILE` examines a file of them [before it is
deployed](deployment.md#before-it-is-deployed).

What a job does is said by its [spec](job-specs.md), and how many replicas there are by the Serve config
([Kubernetes](kubernetes.md)): no value has two homes.
"""

GROUPS = {
    "Stores": ("postgres_", "redis_", "milvus_", "mlflow_", "ray_", "object_", "retrieval_", "var_"),
    "Events": ("kafka_", "spool_", "xapi_"),
    "The door": ("http_", "request_", "rate_", "cors_", "forwarded_"),
    "Tokens and keys": ("jwt_", "pseudonym_", "receipt_", "secrets_"),
    "Traces and logs": ("otlp_", "trace_", "slow_"),
}
"""By how the fields begin; what begins otherwise comes last."""


_HEADINGS = ("variable", "type", "default", "meaning")


def page() -> str:
    schemas = Settings.model_json_schema()["properties"]
    grouped = {group: [name for name in schemas if name.startswith(start)] for group, start in GROUPS.items()}
    known = {name for names in grouped.values() for name in names}
    grouped["Others"] = [name for name in schemas if name not in known]
    parts = [_INTRODUCTION]
    for group, names in grouped.items():
        if names:
            parts += [f"## {group}\n", table(_HEADINGS, [_row(name, schemas[name]) for name in names])]
    return "\n".join(parts)


def _row(name: str, schema: Schema) -> tuple[str, ...]:
    return f"`LEARNREC_{name.upper()}`", kind_of(schema), default_of(schema), str(schema.get("description", ""))
