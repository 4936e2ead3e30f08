# The gateway alone, for models that run in TF Serving: no TensorFlow, no training, no starter models.
#   docker build -f docker/gateway.Dockerfile -t holofoil-gateway .
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv --without-pip /opt/holofoil
# The dependencies alone first: they stay cached until gateway.lock changes. Every file must have a hash of that lock.
COPY gateway.lock ./
RUN pip --python /opt/holofoil/bin/python install --no-deps --require-hashes --requirement gateway.lock
COPY pyproject.toml README.md LICENSE ./
COPY serving serving
RUN rm -rf serving/models \
    && pip --python /opt/holofoil/bin/python install --no-deps . \
    && rm /opt/holofoil/bin/holofoil \
    && find /opt/holofoil -name tests -type d -prune -exec rm -r {} +

FROM ${BASE_IMAGE}
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin holofoil
COPY --from=build /opt/holofoil /opt/holofoil
ENV PATH=/opt/holofoil/bin:$PATH PYTHONUNBUFFERED=1 HOLOFOIL_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8000
# /readyz may wait 3 seconds for models that are still loading.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + os.environ.get('HOLOFOIL_PORT', '8000') + '/readyz', timeout=4)"]
ENTRYPOINT ["holofoil-gateway"]
