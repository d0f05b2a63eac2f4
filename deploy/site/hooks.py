"""MkDocs' hooks: the pages that are made from the code, while the site is built."""

import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).resolve().parents[2]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add them; imports wait until here, as they take seconds."""
    if str(REPOSITORY) not in sys.path:  # where `mkdocs` was not started by `python -m`
        sys.path.insert(0, str(REPOSITORY))
    from deploy.site import api, job_specs, settings

    for name, page in (("api.md", api.page), ("job-specs.md", job_specs.page), ("settings.md", settings.page)):
        files.append(File.generated(config, name, content=page()))
    return files
