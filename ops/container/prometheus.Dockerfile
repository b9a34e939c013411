# Prometheus from Debian's package, where no registry of images is reachable (`make compose-test`).
ARG BASE=debian:bookworm-slim
FROM ${BASE}
COPY prometheus /usr/bin/prometheus
USER 10001:10001
ENTRYPOINT ["/usr/bin/prometheus"]
