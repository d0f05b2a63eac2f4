"""Releases in MLflow's model registry, over its REST API 2.0.

One registered model, one version a release. Tags of a version: `release_id` and `manifest` (the whole of it, JSON).
Tags `erased.LEARNER` of a version: who helped to train it and was erased since.
Aliases are MLflow's own; tag `history.ALIAS` of the model keeps what each stood for, oldest first; tag `trial` says who
gets the release under `candidate`.
The MLflow client would do the same at 180 MB and 5 s of imports in every replica that polls an alias.
"""

import json
from collections.abc import Sequence
from typing import Any, Literal

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from app.domain.releases import CANDIDATE, Manifest, Trial
from app.errors import Conflict, NotFound, Unavailable

MODEL, TRIAL, ERASED = "learnrec", "trial", "erased"
MAX_HISTORY = 50
"""Targets of an alias that are remembered."""

Json = dict[str, Any]


class RegistryState(BaseModel):
    """Everything that a registry knows; version 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    releases: tuple[Manifest, ...]  # oldest first
    erased: dict[str, dict[str, str]]  # release id -> learner, by pseudonym -> when
    aliases: dict[str, str]  # release ids
    histories: dict[str, tuple[str, ...]]  # alias -> what it stood for, oldest first
    trial: Trial | None


class MlflowRegistry:
    """ReleaseRegistry on an MLflow server. Safe to share between threads; `close` when done.

    Rolling back is pointing at `previous`, so doing it twice brings the first release back.
    """

    def __init__(self, uri: str, *, model: str = MODEL, timeout_s: float = 5.0) -> None:
        self.uri = uri.rstrip("/")
        self.model = model
        self._http = httpx.Client(base_url=f"{self.uri}/api/2.0/mlflow/", timeout=timeout_s)

    def close(self) -> None:
        self._http.close()

    def register(self, manifest: Manifest) -> None:
        """Make the release known; again for the same id changes nothing. Raises Conflict: same id, other manifest."""
        text = manifest.model_dump_json()
        known = self._versions(manifest.release_id)
        if known:
            if Manifest.model_validate_json(_tags(known[0])["manifest"]) != manifest:
                raise Conflict(f"release {manifest.release_id} is registered with another manifest: publish a new one")
            return
        self._call("POST", "registered-models/create", {"name": self.model}, exists_ok=True)
        version = {
            "name": self.model,
            "source": f"learnrec-release:/{manifest.release_id}",
            "run_id": manifest.runs.get("publish_release"),
            "tags": [
                {"key": "release_id", "value": manifest.release_id},
                {"key": "data_snapshot", "value": manifest.data_snapshot},
                {"key": "manifest", "value": text},
            ],
        }
        self._call("POST", "model-versions/create", version)

    def manifests(self) -> tuple[Manifest, ...]:
        """Every release, newest first."""
        by_id = {_tags(v)["release_id"]: _tags(v)["manifest"] for v in self._versions()}
        return tuple(Manifest.model_validate_json(text) for text in by_id.values())

    def point(self, alias: str, release_id: str) -> None:
        """Let `alias` stand for the release; pointing at what it stands for already changes nothing."""
        version = self._version(release_id)
        current = self.aliased(alias)
        if current == release_id:
            return
        history = self._history(alias)
        # History first: after a crash between the two writes, `previous` still finds the present target in it.
        kept = [*history, *([current] if current and history[-1:] != [current] else []), release_id][-MAX_HISTORY:]
        self._put(alias, kept, version)

    def mark_erased(self, release_ids: Sequence[str], learner: str, *, at: str) -> None:
        """A learner, by pseudonym, who helped to train these releases was erased; those not registered are left out."""
        for release_id in release_ids:
            for version in self._versions(release_id):
                tag = {"name": self.model, "version": version["version"], "key": f"{ERASED}.{learner}", "value": at}
                self._call("POST", "model-versions/set-tag", tag)

    def aliased(self, alias: str) -> str | None:
        """The release id under `alias`, or None; one request."""
        query = {"name": self.model, "alias": alias}
        answer = self._call("GET", "registered-models/alias", query, missing_ok=True)
        return _tags(answer["model_version"])["release_id"] if answer else None

    def previous(self, alias: str) -> str | None:
        """What `alias` stood for before the last `point`, or None."""
        current = self.aliased(alias)
        history = self._history(alias)
        if current is None or current not in history:
            return None
        position = len(history) - 1 - history[::-1].index(current)
        return history[position - 1] if position else None

    def trial(self) -> Trial | None:
        """What is on trial; one request."""
        text = self._model_tags().get(TRIAL)
        try:
            return Trial.model_validate_json(text) if text else None
        except ValidationError as exc:
            raise Unavailable("mlflow", f"tag {TRIAL} of {self.model} is {text!r}: {exc}") from exc

    def put_on_trial(self, trial: Trial | None) -> None:
        """One release, or none, in the place of what was on trial. Raises NotFound: it is not registered."""
        tag, alias = {"name": self.model, "key": TRIAL}, {"name": self.model, "alias": CANDIDATE}
        if trial:
            self._call("POST", "registered-models/alias", {**alias, "version": self._version(trial.release_id)})
            self._call("POST", "registered-models/set-tag", {**tag, "value": trial.model_dump_json()})
        else:
            self._call("DELETE", "registered-models/delete-tag", tag, missing_ok=True)
            self._call("DELETE", "registered-models/alias", alias, missing_ok=True)

    def state(self) -> RegistryState:
        """All that it knows, in a form that `restore` takes."""
        versions, tags = self._versions()[::-1], self._model_tags()
        erased = {
            _tags(version)["release_id"]: {
                name.removeprefix(f"{ERASED}."): at
                for name, at in _tags(version).items()
                if name.startswith(f"{ERASED}.")
            }
            for version in versions
        }
        histories = {
            name.removeprefix(_history_key("")): json.loads(of) for name, of in tags.items() if _is_history(name)
        }
        return RegistryState(
            releases=tuple(Manifest.model_validate_json(_tags(version)["manifest"]) for version in versions),
            erased={release_id: marks for release_id, marks in erased.items() if marks},
            aliases={alias: release_id for alias in histories if (release_id := self.aliased(alias))},
            histories={alias: tuple(known) for alias, known in histories.items()},
            trial=self.trial(),
        )

    def restore(self, state: RegistryState) -> None:
        """Know all that `state` says; again changes nothing. Releases that it does not name stay, under no alias."""
        for manifest in state.releases:
            self.register(manifest)
        for release_id, marks in state.erased.items():
            for learner, at in marks.items():
                self.mark_erased([release_id], learner, at=at)
        for alias in self.state().histories.keys() - state.aliases.keys():
            self._call("DELETE", "registered-models/alias", {"name": self.model, "alias": alias}, missing_ok=True)
            tag = {"name": self.model, "key": _history_key(alias)}
            self._call("DELETE", "registered-models/delete-tag", tag, missing_ok=True)
        for alias, release_id in state.aliases.items():
            self._put(alias, list(state.histories[alias]), self._version(release_id))
        self.put_on_trial(state.trial)

    def _put(self, alias: str, history: list[str], version: str) -> None:
        tag = {"name": self.model, "key": _history_key(alias), "value": json.dumps(history)}
        self._call("POST", "registered-models/set-tag", tag)
        self._call("POST", "registered-models/alias", {"name": self.model, "alias": alias, "version": version})

    def _model_tags(self) -> dict[str, str]:
        answer = self._call("GET", "registered-models/get", {"name": self.model}, missing_ok=True)
        return _tags(answer.get("registered_model", {}))

    def _history(self, alias: str) -> list[str]:
        return json.loads(self._model_tags().get(_history_key(alias), "[]"))

    def _version(self, release_id: str) -> str:
        """Of the release. Raises NotFound."""
        versions = self._versions(release_id)
        if not versions:
            raise NotFound(f"no release {release_id} is registered: `learnrec release list` shows which are")
        return versions[0]["version"]

    def _versions(self, release_id: str | None = None) -> list[Json]:
        """Versions newest first, of one release or of all."""
        wanted = f"name='{self.model}'" + (f" and tags.release_id='{_quoted(release_id)}'" if release_id else "")
        query: Json = {"filter": wanted, "max_results": 200, "order_by": ["version_number DESC"]}
        found: list[Json] = []
        while True:
            page = self._call("GET", "model-versions/search", query)
            found += page.get("model_versions", [])
            if not page.get("next_page_token"):
                return found
            query["page_token"] = page["next_page_token"]

    def _call(self, method: str, path: str, body: Json, *, missing_ok: bool = False, exists_ok: bool = False) -> Json:
        """One request; an empty answer where what is asked for is missing (or there already) and that is fine."""
        asks = method == "GET"
        try:
            response = self._http.request(method, path, params=body if asks else None, json=None if asks else body)
        except httpx.HTTPError as exc:
            raise Unavailable("mlflow", f"{self.uri}: {exc}") from exc
        if response.is_success:
            return response.json()
        code = _error_code(response)
        missing = {"RESOURCE_DOES_NOT_EXIST"} | ({"INVALID_PARAMETER_VALUE"} if path.endswith("/alias") else set())
        if missing_ok and code in missing:
            return {}
        if exists_ok and code == "RESOURCE_ALREADY_EXISTS":
            return {}
        raise Unavailable("mlflow", f"{method} {path} gave {response.status_code} {code}: {response.text[:300]}")


def _tags(of: Json) -> dict[str, str]:
    tags: Sequence[Json] = of.get("tags", [])
    return {tag["key"]: tag.get("value", "") for tag in tags}


def _history_key(alias: str) -> str:
    return f"history.{alias}"


def _is_history(tag: str) -> bool:
    return tag.startswith(_history_key(""))


def _quoted(text: str) -> str:
    if "'" in text:
        raise NotFound(f"no release {text!r}: release ids hold no quotes")
    return text


def _error_code(response: httpx.Response) -> str:
    try:
        return str(response.json().get("error_code", ""))
    except ValueError:
        return ""
