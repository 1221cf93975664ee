# The image of Unroll: the service in a virtual environment, the bundled models, nothing else.
#
#   docker build -t unroll .
#   docker run --rm -p 127.0.0.1:8000:8000 -v unroll:/data --stop-timeout 40 unroll
#
# Every package is one that the files in lock/ name, with its digest. TORCH says which build of PyTorch: `cpu`, or `cuda`,
# which is several gigabytes larger. TORCH_INDEX_URL says where PyTorch comes from, and only PyTorch; empty takes it from
# the index that pip is configured with. REVISION and CREATED become labels: `make image` passes them.

FROM docker.io/library/python:3.11-slim-bookworm AS build

ARG TORCH=cpu
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_WARN_SCRIPT_LOCATION=1
WORKDIR /build

# Environments without a pip of their own, which the base image's pip fills from outside: that of the image, and one of
# the tools that make it.
RUN python -m venv --without-pip /opt/unroll && python -m venv --without-pip /opt/tools

# The dependencies first, so that a change to the service leaves these layers alone. The build with CUDA is PyPI's.
COPY lock lock
RUN if [ "$TORCH" = cpu ]; then index=$TORCH_INDEX_URL; fi \
    && pip --python /opt/unroll/bin/python install --require-hashes --no-deps --no-compile \
        ${index:+--index-url "$index"} -r "lock/torch-$TORCH.txt"
RUN pip --python /opt/unroll/bin/python install --require-hashes --no-deps --no-compile -r lock/service.txt
RUN pip --python /opt/tools/bin/python install --require-hashes --no-deps --no-compile -r lock/tools.txt

# 200 MB for those who compile against torch, or test it and others. It does not start without torch_shm_manager. Of plotly,
# the console takes the library for browsers only.
RUN cd /opt/unroll/lib/python3.11/site-packages \
    && rm -rf torch/include torch/test \
    && find torch/bin -type f ! -name torch_shm_manager -delete \
    && find plotly -type f ! -path plotly/package_data/plotly.min.js -delete \
    && find networkx numpy scipy sympy -type d -name tests -prune -exec rm -rf {} +

# The tools' setuptools builds the service, so that nothing is fetched for it.
COPY pyproject.toml ./
COPY service service
RUN PYTHONPATH=$(echo /opt/tools/lib/python3.*/site-packages) \
        pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /wheels . \
    && pip --python /opt/unroll/bin/python install --no-deps --no-compile --no-index /wheels/*.whl \
    && pip --python /opt/unroll/bin/python check

# What the image holds, by CycloneDX. The packages of the base image are not in it.
RUN /opt/tools/bin/cyclonedx-py environment /opt/unroll/bin/python --pyproject pyproject.toml --mc-type application \
        --output-reproducible --of JSON --output-file /opt/unroll/sbom.cdx.json

# Files that a training wrote for its owner alone must be readable by the user of the image. What serves them is imported
# and run here, which compiles it: nothing is written when the image runs, and byte code of the rest would be over 100 MB.
COPY models /models
RUN chmod -R u=rwX,go=rX /models \
    && /opt/unroll/bin/python -c "import onnxruntime, opentelemetry.sdk.trace, \
        service.cli.serving, service.grpc.server, service.process.worker" \
    && for model in /models/*/*/; do /opt/unroll/bin/unroll verify "$model" || exit 1; done


FROM docker.io/library/python:3.11-slim-bookworm

ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="Unroll" \
      org.opencontainers.image.description="Serves recurrent networks: sessions that survive, steps applied exactly once." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED" \
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

# Where the private store keeps the sessions while REDIS_URL is not set. It and /tmp are all that is written to.
VOLUME /data
WORKDIR /data
USER 10001:10001
# HTTP, and a port for gRPC, which UNROLL_GRPC_PORT=8001 opens.
EXPOSE 8000 8001

# Liveness alone: a store that is away for a while is no reason to restart the service. Proxies are not asked, and the
# certificate of a service with TLS is not checked: it names another host.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, ssl, urllib.request as r; e = os.environ.get; r.build_opener(r.ProxyHandler({}), r.HTTPSHandler(context=ssl._create_unverified_context())).open(('https' if e('UNROLL_TLS_CERTIFICATE') else 'http') + '://127.0.0.1:' + e('UNROLL_PORT', '8000') + '/health/live', timeout=4)"]

ENTRYPOINT ["unroll"]
CMD ["serve"]
