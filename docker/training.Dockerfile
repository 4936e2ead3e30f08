# holofoil's commands: sample cards, prepare, train, export.
#   docker build -f docker/training.Dockerfile -t holofoil-training .
#   docker run --rm -v holofoil-work:/work holofoil-training sample-cards cards
# On a GPU TensorFlow brings its own CUDA, so that only the host's driver and NVIDIA's container toolkit are needed:
#   docker build ... --build-arg TENSORFLOW='tensorflow[and-cuda]'
#   docker run --gpus all ...
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE}
ARG TENSORFLOW=tensorflow
WORKDIR /build
ENV PIP_CONSTRAINT=/build/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY pyproject.toml constraints.txt README.md LICENSE ./
# The dependencies alone first: they stay cached until pyproject.toml or constraints.txt changes.
RUN mkdir serving training && pip install ".[training]" "${TENSORFLOW}"
COPY serving serving
COPY training training
RUN pip install --no-deps --force-reinstall .

# Docker gives a new named volume the owner of the folder it covers.
RUN useradd --uid 10001 --home-dir /work --shell /usr/sbin/nologin holofoil \
    && install --directory --owner=10001 --group=10001 /work /store
WORKDIR /work
ENV HOME=/work PYTHONUNBUFFERED=1
USER 10001:10001
VOLUME ["/work"]
ENTRYPOINT ["holofoil"]
