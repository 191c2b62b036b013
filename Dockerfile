# The command line in a container, with the FFmpeg that `cargo xtask ffmpeg` builds:
#
#   docker build --tag deeptell .
#   docker run --rm --network none --volume "$PWD/clips:/clips:ro" deeptell scan /clips

FROM rust:1.95-slim-bookworm AS build
# Their versions are those of the release of Debian above.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
        curl libclang-dev make meson nasm ninja-build pkg-config xz-utils \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
# The image's own toolchain, without the formatter and linter that rust-toolchain.toml adds for people.
ENV RUSTUP_TOOLCHAIN=1.95.0
COPY . .
RUN cargo xtask ffmpeg && ln -s /source/target/ffmpeg/*/ffmpeg-static /ffmpeg-static
ENV PKG_CONFIG_PATH=/ffmpeg-static/lib/pkgconfig
RUN cargo build --release --locked --package deeptell-cli --features static
# The image: the program, the parts of the C library that it loads, notices, and a place for uploads.
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN mkdir --parents /image/usr/bin /image/usr/share/doc/deeptell/ffmpeg \
 && install --directory --mode=1777 /image/tmp \
 && strip -o /image/usr/bin/deeptell target/release/deeptell \
 && ldd target/release/deeptell | grep --only-matching '/[^ ]*' | xargs cp --parents --dereference --target-directory=/image \
 && cp target/ffmpeg/*/RECIPE.txt target/ffmpeg/*/licences/* /image/usr/share/doc/deeptell/ffmpeg \
 && cp LICENSE-APACHE LICENSE-MIT NOTICES.md /image/usr/share/doc/deeptell

# No shell, no FFmpeg of the distribution, nobody's account.
FROM scratch
COPY --from=build /image /
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["/usr/bin/deeptell"]
CMD ["--help"]
