# The image of Unroll: the service in a virtual environment, the bundled models, nothing else.
#
#   docker build -t unroll .
#   docker run --rm -p 127.0.0.1:8000:8000 -v unroll:/data --stop-timeout 40 unroll
#
# TORCH_INDEX_URL says where PyTorch comes from, and only PyTorch: its CPU build by default. Empty takes it from the
# index that pip is configured with, which on PyPI is the build with CUDA.

FROM docker.io/library/python:3.11-slim-bookworm AS build

ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_WARN_SCRIPT_LOCATION=1
WORKDIR /build

# An environment without a pip of its own: the base image's pip fills it from outside.
RUN python -m venv --without-pip /opt/unroll

# The dependencies first, so that a change to the service leaves these layers alone.
COPY constraints.txt ./
RUN pip --python /opt/unroll/bin/python install --constraint constraints.txt --no-deps \
        ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} torch
COPY pyproject.toml ./
COPY service/__init__.py service/
RUN pip --python /opt/unroll/bin/python install --constraint constraints.txt '.[grpc,onnx]' \
    && pip --python /opt/unroll/bin/python uninstall --yes unroll

# 170 MB for those who compile against torch, or test it. It does not start without torch_shm_manager.
RUN cd /opt/unroll/lib/python3.11/site-packages \
    && rm -rf torch/include torch/test \
    && find torch/bin -type f ! -name torch_shm_manager -delete \
    && find sympy -type d -name tests -prune -exec rm -rf {} +

COPY service service
RUN pip --python /opt/unroll/bin/python install --no-deps . \
    && pip --python /opt/unroll/bin/python check

# Files that a training wrote for its owner alone must be readable by the user of the image.
COPY models /models
RUN chmod -R u=rwX,go=rX /models


FROM docker.io/library/python:3.11-slim-bookworm

LABEL org.opencontainers.image.title="Unroll" \
      org.opencontainers.image.description="Serves recurrent networks: sessions that survive, steps applied exactly once." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim-bookworm"

RUN groupadd --gid 10001 unroll \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin unroll \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data

COPY --from=build /opt/unroll /opt/unroll
COPY --from=build /models /models

ENV PATH=/opt/unroll/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    UNROLL_HOST=0.0.0.0 \
    UNROLL_MODELS=/models \
    UNROLL_STATE_DIR=/data \
    UNROLL_LOG_FORMAT=json

# Where the private store keeps the sessions while REDIS_URL is not set.
VOLUME /data
WORKDIR /data
USER 10001:10001
# HTTP, and a port for gRPC, which UNROLL_GRPC_PORT=8001 opens.
EXPOSE 8000 8001

# Liveness alone: a store that is away for a while is no reason to restart the service. Proxies are not asked.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + os.environ.get('UNROLL_PORT', '8000') + '/health/live', timeout=4)"]

ENTRYPOINT ["unroll"]
CMD ["serve"]
