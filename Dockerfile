# One image for all services and the command line; compose.yaml says which one a container is.
#
#   docker build -t heptad .
#
# BASE may be any image with glibc and Python 3.11 or later as `python3`, with its `venv`: so that it can be built where
# no registry of images is reachable. Wheels in ops/container/wheels (`make wheels`) are preferred to the network;
# PIP_NO_INDEX=1 allows nothing else. Either way only what requirements/run.lock has hashes for is installed.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG PIP_NO_INDEX=
WORKDIR /src
COPY requirements/run.lock requirements/
COPY ops/container/wheels /wheels
RUN python3 -m venv /opt/heptad \
 && /opt/heptad/bin/pip install --no-cache-dir --disable-pip-version-check --quiet \
      --find-links /wheels --require-hashes -r requirements/run.lock
COPY pyproject.toml README.md LICENSE ./
COPY libs libs
COPY services services
RUN /opt/heptad/bin/pip install --no-cache-dir --disable-pip-version-check --quiet \
      --no-index --no-deps --no-build-isolation . \
 && /opt/heptad/bin/pip uninstall --yes --quiet hatchling editables pip setuptools \
 && /opt/heptad/bin/python3 -m compileall -q /opt/heptad/lib

FROM ${BASE}
COPY --from=build /opt/heptad /opt/heptad
COPY ops/container/probe.py /opt/heptad/share/probe.py
ENV PATH=/opt/heptad/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# As heptad.runtime.channels has it (GRPC_ENVIRONMENT): cheaper messages, TLS 1.3 only, no log that strangers fill.
ENV GRPC_EXPERIMENTS=-event_engine_client,-event_engine_listener,-event_engine_callback_cq \
    GRPC_SSL_CIPHER_SUITES=ECDHE-RSA-AES128-GCM-SHA256 \
    GRPC_VERBOSITY=NONE
# Not root, and no shell of its own; compose.yaml makes the root file system read-only besides.
USER 10001:10001
WORKDIR /cell
ENTRYPOINT ["/opt/heptad/bin/python3"]
CMD ["-m", "heptad.cli.main", "--help"]
