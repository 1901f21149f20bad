# syntax=docker/dockerfile:1
# The binary of every role, and the example gateway: built in one image, run in a small one, as nobody in particular.
#
#     docker build -t headwater .
#     docker run --rm -p 127.0.0.1:7070:7070 -v headwater:/var/lib/headwater headwater
#
# The first build takes about a quarter of an hour, most of it RocksDB's; later ones reuse it.

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ make pkg-config libclang-dev libssl-dev curl ca-certificates \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/target \
    CARGO_TARGET_DIR=/target cargo build --workspace --release --locked --bins \
    && install -D -t /out /target/release/headwater /target/release/llm-gateway

FROM debian:bookworm-slim
# OpenSSL and zlib for Kafka's clients, C++ for RocksDB; certificates for brokers, relays and object stores that a public authority signed.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libssl3 libstdc++6 zlib1g ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home --home-dir /var/lib/headwater headwater \
    && install -d -o headwater -g headwater /var/lib/headwater
COPY --from=build /out/ /usr/local/bin/
COPY examples/data/models.json /usr/share/headwater/models.json
USER 10001:10001
WORKDIR /var/lib/headwater
VOLUME /var/lib/headwater
# Inside a container loopback is of no use; whoever maps the port decides who reaches it.
ENV HEADWATER_LISTEN=0.0.0.0:7070 HEADWATER_DATA=/var/lib/headwater
EXPOSE 7070
# Alive and with a state to serve, be it an old one: what cannot be mended by a restart must not cause one.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 CMD ["headwater", "status"]
ENTRYPOINT ["headwater"]
CMD ["serve"]
