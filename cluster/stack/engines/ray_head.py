"""`python -m cluster.stack.engines.ray_head start …` is `ray start …`, with more patience and less company.

Ray gives its node 30 seconds to come up, and its node gives the dashboard's agent 15 to tell which port it listens on,
by constants in the code; a busy machine needs more, and Ray would end. The port is a given one: it is told beforehand.
And without the server for `ray://` clients, a process that nobody here talks to; there is no option for that.
"""

import inspect
import time
from pathlib import Path
from typing import Any

PATIENCE_S = 150.0
POLL_S = 0.2


def main() -> None:
    from ray._private import services
    from ray.scripts import scripts

    get_node, start_raylet = services.get_node, services.start_raylet

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

    def start_raylet_knowing_the_port(*arguments: Any, **options: Any) -> Any:
        given = inspect.signature(start_raylet).bind(*arguments, **options).arguments
        told = Path(given["session_dir"]) / f"dashboard_agent_listen_port_{given['node_id']}"
        told.write_text(str(given["dashboard_agent_listen_port"]))
        return start_raylet(*arguments, **options)

    services.get_node, services.start_raylet = get_node_patiently, start_raylet_knowing_the_port
    scripts.get_ray_client_dependency_error = lambda: "not wanted"  # pyright: ignore[reportPrivateImportUsage]
    scripts.cli()


if __name__ == "__main__":
    main()
