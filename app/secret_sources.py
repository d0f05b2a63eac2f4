"""Where secrets come from beside the environment: files that it names, and AWS Secrets Manager."""

from collections.abc import Mapping
from pathlib import Path

from pydantic_settings import (
    AWSSecretsManagerSettingsSource,
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
)
from typing_extensions import override

from app.errors import InvalidInput, Unavailable


class NamedFiles(EnvSettingsSource):
    """`LEARNREC_X_FILE=PATH`, as Docker's own images have it."""

    @override
    def _load_env_vars(self) -> Mapping[str, str | None]:
        told = super()._load_env_vars()
        own = {name: path for name, path in told.items() if name.startswith("learnrec_") and name.endswith("_file")}
        return {name.removesuffix("_file"): Path(path).read_text().strip() for name, path in own.items() if path}


def of_aws(settings_cls: type[BaseSettings], name: str) -> PydanticBaseSettingsSource:
    """Credentials and region come from where AWS's own clients find them."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as exc:
        raise InvalidInput("LEARNREC_SECRETS_AWS needs boto3: install learnrec[aws]") from exc
    try:
        return AWSSecretsManagerSettingsSource(settings_cls, name, case_sensitive=False)
    except (BotoCoreError, ClientError, KeyError, ValueError) as exc:
        raise Unavailable("AWS Secrets Manager", f"secret {name}: {exc}") from exc
