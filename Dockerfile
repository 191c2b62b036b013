# The command line in a container:
#
#   docker build --tag deeptell .
#   docker run --rm --network none --volume "$PWD/clips:/clips:ro" deeptell scan /clips

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
        libavcodec-dev libavformat-dev libavutil-dev libswscale-dev libclang-dev pkg-config \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
# The image's own toolchain, without the formatter and linter that rust-toolchain.toml adds for people.
ENV RUSTUP_TOOLCHAIN=1.95.0
COPY . .
RUN cargo build --release --locked --package deeptell-cli

FROM debian:bookworm-slim
# FFmpeg's libraries alone, in the version that the build stage linked.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libavcodec59 libavformat59 libavutil57 libswscale6 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --shell /usr/sbin/nologin deeptell
COPY --from=build /source/target/release/deeptell /usr/local/bin/deeptell
COPY LICENSE-APACHE LICENSE-MIT NOTICES.md /usr/share/doc/deeptell/
# Clips come from strangers: decode them as nobody in particular.
USER deeptell
WORKDIR /home/deeptell
ENTRYPOINT ["deeptell"]
CMD ["--help"]
