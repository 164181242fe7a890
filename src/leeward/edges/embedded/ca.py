"""Make certificate authorities and the certificates that they sign."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_network

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ROOT_VALID = timedelta(days=3650)
LEAF_VALID = timedelta(days=90)
RENEW_BEFORE = timedelta(days=30)
# Clocks differ.
BACKDATED = timedelta(hours=24)
NO_USE = dict.fromkeys(
    (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, both as PEM."""

    chain_pem: str
    key_pem: str


def root(name: str, permitted: str, now: datetime) -> Pair:
    """A new authority. With `permitted`, one that no client believes about any name outside that domain."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _builder(subject, subject, key, now, ROOT_VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(**{**NO_USE, "key_cert_sign": True, "crl_sign": True}),
            critical=True,
        )
    )
    if permitted:
        everywhere = [x509.IPAddress(ip_network("0.0.0.0/0")), x509.IPAddress(ip_network("::/0"))]
        constraint = x509.NameConstraints([x509.DNSName(permitted)], everywhere)
        builder = builder.add_extension(constraint, critical=True)
    return _signed(builder, key, key, "")


def leaf(authority: Pair, hosts: tuple[str, ...], now: datetime, with_root: bool = False) -> Pair:
    """A certificate for host names (exact or wildcard)."""
    issuer = x509.load_pem_x509_certificate(authority.chain_pem.encode())
    issuer_key = _key(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
    builder = (
        _builder(subject, issuer.subject, key, now, LEAF_VALID)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**{**NO_USE, "digital_signature": True}), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    return _signed(builder, key, issuer_key, authority.chain_pem if with_root else "")


def is_fresh(pair: Pair, now: datetime) -> bool:
    """Whether a certificate is valid for longer than the time in which it is renewed."""
    certificate = x509.load_pem_x509_certificate(pair.chain_pem.encode())
    return now + RENEW_BEFORE < certificate.not_valid_after_utc


def is_signed_by(pair: Pair, authority: Pair) -> bool:
    """Whether `authority` made this certificate."""
    certificate = x509.load_pem_x509_certificate(pair.chain_pem.encode())
    issuer = x509.load_pem_x509_certificate(authority.chain_pem.encode())
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def permits(authority: Pair) -> str:
    """The domain that an authority is constrained to, '' when it is not."""
    certificate = x509.load_pem_x509_certificate(authority.chain_pem.encode())
    try:
        constraint = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return ""
    return next((str(name.value) for name in constraint.permitted_subtrees or ()), "")


def names(pair: Pair) -> tuple[str, ...]:
    """The host names of a certificate."""
    certificate = x509.load_pem_x509_certificate(pair.chain_pem.encode())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(found.get_values_for_type(x509.DNSName))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, valid: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + valid)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _signed(
    builder: x509.CertificateBuilder,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    chain: str,
) -> Pair:
    certificate = builder.sign(issuer_key, hashes.SHA256())
    return Pair(
        certificate.public_bytes(Encoding.PEM).decode() + chain,
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    )


def _key(pair: Pair) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(pair.key_pem.encode(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key
