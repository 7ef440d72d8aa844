# The connector, and every other command of kis-bond: docker build --tag kis-bond-connector .
#
# With a package mirror: --secret id=pip.conf,src=$HOME/.config/pip/pip.conf. The build reads it while
# it installs packages, and keeps it in no layer.
# The base needs Python 3.11 or later with venv, and the time zone database. The locked packages need
# glibc. Pin it by digest with --build-arg BASE=python:3.11-slim@sha256:….
ARG BASE=python:3.11-slim
# The packages: runtime; msk for logins at Amazon MSK; gssapi for logins with Kerberos, whose base
# needs Debian's packages: --build-arg PACKAGES=gssapi
ARG PACKAGES=runtime

FROM ${BASE} AS base-runtime
FROM ${BASE} AS base-msk
FROM ${BASE} AS base-gssapi
RUN ["sh", "-ec", "apt-get update; apt-get install --yes --no-install-recommends libgssapi-krb5-2; rm -r /var/lib/apt/lists/*"]

FROM base-${PACKAGES} AS folders
# A base without time zones fails here, not at the first log line.
RUN ["python3", "-c", "import zoneinfo; zoneinfo.ZoneInfo('Asia/Seoul')"]
RUN ["python3", "-m", "venv", "/build"]
RUN ["python3", "-m", "venv", "--without-pip", "/opt/kis-bond"]
RUN ["install", "--directory", "--mode=0700", "/volume/data"]
WORKDIR /src
COPY requirements/build.txt requirements/
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_REQUIRE_HASHES=1 PIP_ONLY_BINARY=:all:
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    ["/build/bin/pip", "install", "--requirement", "requirements/build.txt"]

FROM folders AS tools-runtime
FROM folders AS tools-msk
# The package gssapi has no wheel for Linux. A base with Python of its own brings Python's headers.
FROM folders AS tools-gssapi
RUN ["sh", "-ec", "test -e $(python3 -c 'import sysconfig; print(sysconfig.get_path(\"include\"))')/Python.h || headers=python3-dev; apt-get update; apt-get install --yes --no-install-recommends gcc libc6-dev libkrb5-dev $headers"]
COPY requirements/gssapi-build.txt requirements/gssapi.txt requirements/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    ["/build/bin/pip", "--python", "/opt/kis-bond/bin/python3", "install", "--requirement", "requirements/gssapi-build.txt"]
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    ["/build/bin/pip", "--python", "/opt/kis-bond/bin/python3", "install", "--no-binary=gssapi", "--no-build-isolation", "--requirement", "requirements/gssapi.txt"]
RUN ["/build/bin/pip", "--python", "/opt/kis-bond/bin/python3", "uninstall", "--yes", "Cython", "setuptools"]

FROM tools-${PACKAGES} AS build
ARG PACKAGES
COPY requirements/${PACKAGES}.txt requirements/image.txt
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    ["/build/bin/pip", "--python", "/opt/kis-bond/bin/python3", "install", "--requirement", "requirements/image.txt"]
COPY . .
ENV PIP_REQUIRE_HASHES=0 PIP_NO_INDEX=1
RUN ["/build/bin/pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "/wheel", "."]
RUN ["/build/bin/pip", "--python", "/opt/kis-bond/bin/python3", "install", "--no-deps", "--find-links", "/wheel", "kis-bond-connector"]

FROM base-${PACKAGES}
COPY --from=build /opt/kis-bond /opt/kis-bond
COPY --from=build --chown=65532:65532 /volume/ /
ENV PATH=/opt/kis-bond/bin:$PATH \
    KIS_BOND_HTTP__HOST=0.0.0.0 \
    KIS_BOND_JOURNAL__PATH=/data/journal \
    XDG_CACHE_HOME=/data/.cache
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python3", "-c", "import http.client, os, sys; host = os.environ.get('KIS_BOND_HTTP__HOST', '127.0.0.1'); host = '127.0.0.1' if host in ('0.0.0.0', '::') else host; c = http.client.HTTPConnection(host, int(os.environ.get('KIS_BOND_HTTP__PORT', 8080)), timeout=4); c.request('GET', '/livez'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["kis-bond"]
CMD ["run"]
ARG VERSION=0.1.0
# The commit it was built from: --build-arg REVISION=$(git rev-parse HEAD)
ARG REVISION=unknown
LABEL org.opencontainers.image.title="kis-bond-connector" \
      org.opencontainers.image.description="Korea Investment & Securities bond trade ticks (H0BJCNT0) as an Avro stream in Kafka" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
