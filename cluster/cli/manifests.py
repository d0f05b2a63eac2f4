"""`learnrec manifests`: the checked-in manifests that follow from the schedule and the RayService."""

import typer


def manifests() -> None:
    """Write the CronJobs and RayCronJobs of the schedule to kuberay/, and say which files changed."""
    from cluster.manifests import FILES, KUBERAY, write

    changed = write()
    for path in FILES:
        typer.echo(f"{'written' if path in changed else 'up to date'}  {path.relative_to(KUBERAY.parent)}")
