"""`python -m cluster.stack.engines.ray_head start …` is `ray start …`, with more patience.

Ray gives its node 30 seconds to come up, by a constant, and ends where a busy machine needs more.
"""

import time
from typing import Any

PATIENCE_S = 150.0
POLL_S = 0.2


def main() -> None:
    from ray._private import services
    from ray.scripts.scripts import cli

    get_node = services.get_node

    def get_node_patiently(*arguments: Any, **options: Any) -> Any:
        """Raises RuntimeError, as Ray's own does, where the node is still not there."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return get_node(*arguments, **options)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(POLL_S)

    services.get_node = get_node_patiently
    cli()


if __name__ == "__main__":
    main()
