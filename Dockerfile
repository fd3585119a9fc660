# What make image builds, where Docker is:
#
#   docker buildx build --platform linux/amd64,linux/arm64 -t ghcr.io/backstop-dev/backstop:dev .
FROM --platform=$BUILDPLATFORM golang:1.26.8@sha256:3c3e25a4da13fd0478eed2df1eb35a0e667094a7124d3993a6a1d30f71c17e79 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS
ARG TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -buildvcs=auto -trimpath -ldflags "-s -w" -o /out/backstop ./cmd/sidecar
RUN go run ./scripts/release/cmd image -rootfs /out/rootfs

FROM scratch
LABEL org.opencontainers.image.title=backstop \
      org.opencontainers.image.source=https://github.com/backstop-dev/backstop \
      org.opencontainers.image.licenses=Apache-2.0
COPY --from=build /out/rootfs/ /
COPY --from=build /out/backstop /backstop
ENV PATH=/
USER 65532:65532
ENTRYPOINT ["/backstop"]
