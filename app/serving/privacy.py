"""What learners may ask of what is known about them: to see it, and to have it gone."""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.adapters.keyring import load_keyring
from app.adapters.object_store import ObjectStore
from app.adapters.personal_data import exported
from app.adapters.postgres.audit import PostgresAudit
from app.adapters.postgres.erasures import PostgresErasures
from app.domain.erasures import Erasure
from app.errors import Conflict, NotFound
from app.serving.access import Caller
from app.serving.opt_outs import OptOuts
from app.serving.submissions import of_this_cluster
from app.settings import Settings

JOB = "erase_learners"
LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Privacy:
    """Blocking work runs on threads. Every method raises Unavailable: a store or the cluster does not answer."""

    settings: Settings
    opt_outs: OptOuts

    async def export(self, user_id: str, *, by: Caller) -> dict[str, Any]:
        """All that is stored about the learner."""
        await self.note(by, "export", self._named(user_id))
        return await asyncio.to_thread(self._export, user_id)

    async def erase(self, user_id: str, *, by: Caller, wait_s: float) -> Erasure:
        """From now on nothing is known of the learner, and a job takes out what is stored.

        Finished where that ends within `wait_s`, and at once where they are erased already.
        """
        await self.note(by, "erase", self._named(user_id))
        erasure = await asyncio.to_thread(self._erasures.request, user_id, load_keyring(self.settings))
        await self.opt_outs.erased(user_id)
        until = time.monotonic() + wait_s
        submitted = False
        while erasure.finished_at is None:
            if not submitted:
                submitted = await asyncio.to_thread(self._submit, by)
            if time.monotonic() >= until:
                break
            await asyncio.sleep(LOOK_EVERY_S)
            erasure = await self.erasure(user_id)
        return erasure

    async def erasure(self, user_id: str) -> Erasure:
        """Raises NotFound: nobody asked for it."""
        found = await asyncio.to_thread(self._erasures.find, user_id, load_keyring(self.settings))
        if found is None:
            raise NotFound("this learner was never erased: DELETE /users/{user_id} does it")
        return found

    async def opt_out(self, user_id: str, *, by: Caller, external_id: str) -> datetime:
        """Since when. `external_id` is the id as it was given."""
        await self.note(by, "opt out", self._named(user_id))
        return await self.opt_outs.opt_out(user_id, external_id=external_id)

    async def come_back(self, user_id: str, *, by: Caller) -> None:
        await self.note(by, "come back", self._named(user_id))
        await self.opt_outs.come_back(user_id)

    async def note(self, by: Caller, action: str, object_: str) -> None:
        """Before it is done: what cannot be noted is not done. `object_` says nothing of who a learner is."""
        audit = PostgresAudit(self.settings.need("postgres_url"))
        actor = self._named(by.subject)
        await asyncio.to_thread(audit.add, actor=actor, role=by.role.value, action=action, object_=object_)

    def _named(self, user_id: str) -> str:
        return load_keyring(self.settings).current.of(user_id)

    @property
    def _erasures(self) -> PostgresErasures:
        return PostgresErasures(self.settings.need("postgres_url"))

    def _export(self, user_id: str) -> dict[str, Any]:
        names = load_keyring(self.settings).names_of(user_id)
        return exported(
            user_id,
            names,
            postgres_url=self.settings.need("postgres_url"),
            redis_url=self.settings.need("redis_url"),
            store=ObjectStore(self.settings.object_store_uri),
        )

    def _submit(self, by: Caller) -> bool:
        """Whether the job was started now; one that runs already may have seen all requests but this one."""
        try:
            of_this_cluster(self.settings).submit_alone(JOB, by=self._named(by.subject))
        except Conflict:
            return False
        return True
