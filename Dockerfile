# A small image around the one executable: build it with `docker build -t millrace .`, run it with
#   docker run -p 8080:8080 -e MILLRACE_KEY=... -v millrace:/data -v ./my-config:/etc/millrace:ro millrace
# Without a configuration of your own it serves the example. Without MILLRACE_KEY a key is made and printed once (docker logs).
FROM node:20-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
RUN npm run build

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin millrace \
 && install -d -o millrace -g millrace -m 0750 /data \
 && install -d -o millrace -g millrace -m 0755 /var/cache/millrace
COPY --from=build /build/dist/millrace /usr/local/bin/millrace
COPY --from=build /build/examples/clickstream /etc/millrace
COPY --from=build /build/LICENSE /usr/share/doc/millrace/LICENSE
USER millrace
ENV XDG_CACHE_HOME=/var/cache \
    MIMALLOC_PURGE_DELAY=10000 \
    MILLRACE_CONFIG=/etc/millrace/millrace.yaml \
    MILLRACE_DATA=/data \
    MILLRACE_LISTEN=0.0.0.0:8080
# Unpacks DuckDB's library into the image, so that a start need not, and proves that the executable runs on it.
RUN millrace check
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /health HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && head -1 <&3 | grep -q ' 200 '"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["millrace"]
CMD ["serve"]
