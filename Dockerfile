# syntax=docker/dockerfile:1

# By digest, so that the same commit gives the same image. Both are multi-platform indexes.
ARG BUILD_IMAGE=docker.io/library/node:26.10.0-trixie-slim@sha256:ec7758ee051e457b468b32bde57b0879010b325bb9862718e9615225ce4aaae1
ARG BASE_IMAGE=gcr.io/distroless/nodejs26-debian13:nonroot@sha256:2ee7b2c54a3e37dfc248af81c9f6bcdcaa50abe4af44aa47a3388431031b9283

# The bundle is the same for every platform: it is built on the platform that builds.
FROM --platform=$BUILDPLATFORM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY package.json package-lock.json ./
# Install scripts are not needed: this image has its Node, and esbuild's program comes as a package of its own.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json build.mjs ./
COPY src src
COPY test/supply-chain test/supply-chain
# The licences of what is in the bundle go with it.
RUN node build.mjs && node test/supply-chain/main.ts --notices >dist/THIRD-PARTY-NOTICES.txt

# Node and its libraries, no shell, no package manager.
FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="libc-dns-webhook" \
      org.opencontainers.image.description="Gives every Pod the DNS options that its images' resolvers obey" \
      org.opencontainers.image.licenses="Apache-2.0"
# Memory that is freed goes back to the system (docs/performance.md: where the memory goes).
ENV MALLOC_ARENA_MAX=2 MALLOC_TRIM_THRESHOLD_=131072 MALLOC_MMAP_THRESHOLD_=32768 MALLOC_TOP_PAD_=32768
WORKDIR /app
COPY --from=build /src/dist/main.js main.js
# The server reads images in processes of their own, which run this.
COPY --from=build /src/dist/reader.js reader.js
# Loaded where traces are sent.
COPY --from=build /src/dist/otlp.js otlp.js
# Says that these are modules, so that Node need not find out: at the start a twentieth of the time.
COPY --from=build --chmod=0644 /src/dist/package.json package.json
COPY --from=build /src/dist/THIRD-PARTY-NOTICES.txt THIRD-PARTY-NOTICES.txt
COPY --chmod=0644 LICENSE LICENSE
# A number, so that Kubernetes can tell that it is not root.
USER 65532:65532
EXPOSE 10250 9402
# The program as a command: docker run IMAGE detect alpine:3.22. Without V8's compiler between the quick one and the thorough one: it
# takes memory and saves no time here. The start ends with a full collection of garbage; without room for 32 MB it would take two more.
ENTRYPOINT ["/nodejs/bin/node", "--initial-old-space-size=32", "/app/main.js"]
CMD ["serve"]
