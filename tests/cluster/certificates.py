"""An authority of our own, certificates for every part, and the kubeconfigs that carry them."""

import base64
import datetime
import ipaddress
import json
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.cluster.layout import Layout

_DAYS = 365
_PARTS = {
    "admin": ("leeward-admin", "system:masters"),
    "controllers": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "proxy": ("system:kube-proxy", ""),
    "to-kubelet": ("kube-apiserver-kubelet-client", "system:masters"),
    "addons": ("leeward-cluster-addons", "system:masters"),
}


class Authority:
    """Signs what the parts of one cluster show each other."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._certificate = self._sign(self._name, self._key, authority=True)
        self._save(name, self._key, self._certificate)

    def issue(self, file: str, name: str, group: str = "", addresses: Iterable[str] = ()) -> None:
        """Write `file.crt` and `file.key`: for a client, and for a server where it has `addresses`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        if group:
            subject.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
        self._save(file, key, self._sign(x509.Name(subject), key, addresses=tuple(addresses)))

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        authority: bool = False,
        addresses: tuple[str, ...] = (),
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=_DAYS))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            uses = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
            builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        if addresses:
            builder = builder.add_extension(x509.SubjectAlternativeName(map(_address, addresses)), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _save(self, file: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        (self._folder / f"{file}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        _private(self._folder / f"{file}.key", key)


def _private(file: Path, key: ec.EllipticCurvePrivateKey) -> None:
    file.touch(mode=0o600)
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _address(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def make(layout: Layout) -> None:
    """Everything that the parts show each other; kept for as long as the cluster is."""
    pki = layout.pki
    if (pki / "done").exists():
        return
    pki.mkdir(parents=True, exist_ok=True)
    pki.chmod(0o700)
    authority = Authority(pki, "ca")
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
    authority.issue("apiserver", "kube-apiserver", addresses=(layout.first.ip, "10.96.0.1", "127.0.0.1", *names))
    for file, (name, group) in _PARTS.items():
        authority.issue(file, name, group)
    for node in layout.nodes:
        authority.issue(node.name, f"system:node:{node.name}", "system:nodes", addresses=(node.ip, node.name))
    front = Authority(pki, "front-ca")
    front.issue("front", "front-proxy-client")
    key = ec.generate_private_key(ec.SECP256R1())
    _private(pki / "accounts.key", key)
    (pki / "accounts.pub").write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    for file in (*_PARTS, *(node.name for node in layout.nodes)):
        kubeconfig(layout, file, layout.home / f"{file}.kubeconfig")
    (pki / "done").touch()


def kubeconfig(layout: Layout, file: str, target: Path) -> None:
    """A kubeconfig for the holder of `file.crt`; JSON is YAML."""

    def data(name: str) -> str:
        return base64.b64encode((layout.pki / name).read_bytes()).decode()

    target.touch(mode=0o600)
    target.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [
                    {
                        "name": "leeward",
                        "cluster": {"server": layout.server, "certificate-authority-data": data("ca.crt")},
                    }
                ],
                "users": [
                    {
                        "name": file,
                        "user": {
                            "client-certificate-data": data(f"{file}.crt"),
                            "client-key-data": data(f"{file}.key"),
                        },
                    }
                ],
                "contexts": [{"name": "leeward", "context": {"cluster": "leeward", "user": file}}],
                "current-context": "leeward",
            },
            indent=1,
        )
    )
