"""The few files of our own in a base image. Pure."""

import json
from collections.abc import Mapping

WITH_CA = """#!/bin/sh
# Run a command that trusts the platform's certificates and uses its package indexes; both are mounted as build
# secrets, so nothing of them stays in the image. Other mounted secrets become variables of the command.
ca=/run/secrets/leeward_ca
if [ -r "$ca" ]; then
    export SSL_CERT_FILE="$ca" PIP_CERT="$ca" REQUESTS_CA_BUNDLE="$ca" CURL_CA_BUNDLE="$ca" GIT_SSL_CAINFO="$ca"
    export NODE_EXTRA_CA_CERTS="$ca" APT_CONFIG=/usr/local/share/leeward/apt-ca.conf
fi
index=/run/secrets/leeward_pip_index
if [ -r "$index" ]; then
    UV_DEFAULT_INDEX=$(cat "$index")
    PIP_INDEX_URL=$UV_DEFAULT_INDEX
    export UV_DEFAULT_INDEX PIP_INDEX_URL
fi
registry=/run/secrets/leeward_npm_registry
if [ -r "$registry" ]; then
    NPM_CONFIG_REGISTRY=$(cat "$registry")
    YARN_NPM_REGISTRY_SERVER=$NPM_CONFIG_REGISTRY
    export NPM_CONFIG_REGISTRY YARN_NPM_REGISTRY_SERVER
fi
for file in /run/secrets/*; do
    name=${file##*/}
    case $name in
    leeward_* | [0-9]* | *[!A-Za-z0-9_]*) ;;
    *) [ -r "$file" ] && export "$name=$(cat "$file")" ;;
    esac
done
exec "$@"
"""

# What more languages' tools need to trust the same certificates; Java reads no PEM, so it gets a store of its own, in
# memory. It stands before the variables of the app are read.
LANGUAGES = """if [ -r "$ca" ]; then
    export CARGO_HTTP_CAINFO="$ca" COMPOSER_CAFILE="$ca" BUNDLE_SSL_CA_CERT="$ca"
    if [ -x /usr/bin/java ] && command -v openssl >/dev/null; then
        store=/dev/shm/leeward-trust.p12
        openssl pkcs12 -export -nokeys -in "$ca" -jdktrust anyExtendedKeyUsage -passout pass:changeit -out "$store"
        JAVA_TOOL_OPTIONS="-Djavax.net.ssl.trustStore=$store -Djavax.net.ssl.trustStorePassword=changeit"
        export JAVA_TOOL_OPTIONS
    fi
fi
"""

# Where openssl is too old to mark a certificate as trusted by Java (before 3.2), Java makes the store itself.
OLDER_JAVA = (
    LANGUAGES.replace("[ -x /usr/bin/java ] && command -v openssl", "command -v javac")
    .replace("openssl pkcs12 -export -nokeys -in", "java /usr/local/share/leeward/Trust.java")
    .replace('"$ca" -jdktrust anyExtendedKeyUsage -passout pass:changeit -out "$store"', '"$ca" "$store"')
)
TRUST = """import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;

class Trust {
    public static void main(String[] words) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        int number = 0;
        try (FileInputStream bundle = new FileInputStream(words[0])) {
            for (Certificate each : CertificateFactory.getInstance("X.509").generateCertificates(bundle)) {
                store.setCertificateEntry("ca" + number++, each);
            }
        }
        try (FileOutputStream out = new FileOutputStream(words[1])) {
            store.store(out, "changeit".toCharArray());
        }
    }
}
"""

# What the public image `nginx` serves by default, for Dockerfiles that build on it.
NGINX_DEFAULT = """server {
    listen 80;
    root /usr/share/nginx/html;
    index index.html index.htm;
}
"""

APT_CA = """Acquire::https::CaInfo "/run/secrets/leeward_ca";
APT::Sandbox::User "root";
"""

# Runs on this machine with the new root as its argument, as the last step of the bootstrap.
FINISH = """#!/bin/sh
set -eu
root=$1
echo 'app:x:1000:1000::/home/app:/usr/sbin/nologin' >>"$root/etc/passwd"
echo 'app:x:1000:' >>"$root/etc/group"
echo 'app:*:20000:0:99999:7:::' >>"$root/etc/shadow"
mkdir -p "$root/home/app" "$root/app"
chown 1000:1000 "$root/home/app" "$root/app"
for python in "$root"/usr/lib/python3.[0-9]*; do
    [ -d "$python" ] || continue
    rm -f "$python/EXTERNALLY-MANAGED"
    version=${python##*/}
    mkdir -p "$root/usr/local/lib/$version/dist-packages"
    [ -e "$root/usr/local/lib/$version/site-packages" ] ||
        ln -s dist-packages "$root/usr/local/lib/$version/site-packages"
done
for tool in uv uvx; do
    # Where the public image of uv has them.
    if [ -f "$root/usr/local/bin/$tool" ]; then ln "$root/usr/local/bin/$tool" "$root/$tool"; fi
done
if [ -d "$root/etc/nginx" ]; then
    rm -f "$root"/etc/nginx/sites-enabled/*
    mkdir -p "$root/usr/share/nginx/html"
    sed -i -e 's|error_log .*|error_log stderr;|' -e 's|access_log .*|access_log off;|' "$root/etc/nginx/nginx.conf"
fi
rm -rf "$root"/var/log/* "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old
rm -f "$root"/etc/*- "$root/etc/machine-id"
mkdir -p "$root/var/log/apt" "$root/var/log/nginx"
: >"$root/etc/hostname"
"""


def languages(flavour: str) -> str:
    """The lines of `with-ca` for more languages."""
    return OLDER_JAVA if flavour.startswith("java17") else LANGUAGES


def files(flavour: str, *, trusts: bool = False) -> Mapping[str, tuple[int, str]]:
    """Mode and text of each file, by its path below the root; `trusts`: for more languages than Python and Node."""
    with_ca = WITH_CA.replace("for file in", f"{languages(flavour)}for file in", 1) if trusts else WITH_CA
    common = {
        "usr/local/bin/with-ca": (0o755, with_ca),
        "usr/local/share/leeward/apt-ca.conf": (0o644, APT_CA),
    }
    if flavour == "java17-build":
        return {**common, "usr/local/share/leeward/Trust.java": (0o644, TRUST)}
    if flavour != "static":
        return common
    return {
        **common,
        "etc/nginx/conf.d/default.conf": (0o644, NGINX_DEFAULT),
    }


def config_changes(flavour: str, labels: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """What an import sets beside the files, as Dockerfile instructions."""
    return (
        "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "ENV LANG=C.UTF-8",
        "WORKDIR /app",
        f"LABEL leeward.base={flavour}",
        *label_lines(labels or {}),
        'CMD ["/bin/sh"]',
    )


def label_lines(labels: Mapping[str, str]) -> tuple[str, ...]:
    """Labels as Dockerfile instructions."""
    return tuple(f"LABEL {key}={json.dumps(value)}" for key, value in sorted(labels.items()))
