"""The shelf of last resort: what is popular by the metadata alone, for when there is no release yet."""

from typing import Protocol

import pyarrow as pa


class PopularContents(Protocol):
    """Asynchronous."""

    async def popular(self, *, limit: int) -> pa.Table:
        """Rows of content_id, title, type; most popular of late first, then newest. Raises Unavailable."""
        ...
