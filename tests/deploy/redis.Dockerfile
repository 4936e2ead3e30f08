# In the place of Redis's own image where it cannot be had.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN apt-get update && apt-get install --yes --no-install-recommends redis-server
USER redis
