"""The signed proof that a client holds its key."""

import base64
import json

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from connector.core.client_assertion import LIFE_SECONDS, assertion_claims, read_key, sign

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
# Made without primes, because to find them takes a minute; nobody may test for them either.
LARGE = rsa.RSAPrivateNumbers(
    p=2**4096 - 1,
    q=2**4095 + 1,
    d=3,
    dmp1=3,
    dmq1=3,
    iqmp=3,
    public_numbers=rsa.RSAPublicNumbers(65537, (2**4096 - 1) * (2**4095 + 1)),
).private_key(unsafe_skip_rsa_key_validation=True)
FORMATS = (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL)


def pem(key, form=PrivateFormat.PKCS8, password=None):
    """Return the key as a PEM file has it."""
    return key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(password) if password else NoEncryption())


def parts(assertion):
    """Return header, claims, signed text and signature of a JWT."""
    header, claims, signature = (base64.urlsafe_b64decode(part + "==") for part in assertion.split("."))
    return json.loads(header), json.loads(claims), assertion.rpartition(".")[0].encode(), signature


def verify(key, signed, signature):
    """Raise InvalidSignature unless the signature is the one of RFC 7518."""
    if isinstance(key, rsa.RSAPrivateKey):
        key.public_key().verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        return
    assert len(signature) == 64
    numbers = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    key.public_key().verify(encode_dss_signature(*numbers), signed, ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (CURVE, "ES256")], ids=["RSA", "P-256"])
def test_the_assertion_names_client_and_provider_and_is_signed(key, algorithm):
    """Issuer and subject are the client, the audience is the provider, its life is a minute."""
    made = sign(assertion_claims("bond", "https://h/token", now=1000, unique="u"), key, "k")
    header, claims, signed, signature = parts(made)
    assert header == {"alg": algorithm, "typ": "JWT", "kid": "k"}
    assert claims == {"iss": "bond", "sub": "bond", "aud": "https://h/token", "jti": "u", "iat": 1000, "exp": 1060}
    assert LIFE_SECONDS == 60
    verify(key, signed, signature)
    with pytest.raises(InvalidSignature):
        verify(key, signed + b"x", signature)


def test_a_key_without_a_name():
    """The header names a key only if it has a name."""
    assert parts(sign({}, CURVE, None))[0].keys() == {"alg", "typ"}


def test_a_signature_with_a_small_number_has_its_whole_length():
    """A number of the curve's signature that begins with zeros is not shortened."""
    for _ in range(2000):  # one signature in 128 has such a number
        signature = parts(sign({}, CURVE, None))[3]
        assert len(signature) == 64
        if 0 in {signature[0], signature[32]}:
            return
    pytest.fail("no signature had a small number")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("key", [RSA, CURVE], ids=["RSA", "P-256"])
def test_a_key_in_either_format_is_read(key, form):
    """PKCS#8 and the formats of OpenSSL are read."""
    assert read_key(pem(key, form)).private_numbers() == key.private_numbers()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "holds no private key"),
        (b"canary", "holds no private key"),
        (pem(RSA)[:400], "holds no private key"),
        (pem(RSA, password=b"canary"), "holds an encrypted key"),
        (pem(CURVE, PrivateFormat.TraditionalOpenSSL, password=b"canary"), "holds an encrypted key"),
        (pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)), "holds another kind of key"),
        (pem(LARGE), "holds another kind of key"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "holds another kind of key"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "holds another kind of key"),
    ],
)
def test_other_files_are_refused(content, problem):
    """A file without a usable key says what it holds, and nothing of its content."""
    with pytest.raises(ValueError, match=f"^{problem}$"):
        read_key(content)


def test_a_damaged_key_signs_nothing():
    """A key of the right size whose numbers do not belong together is refused."""
    numbers = RSA.private_numbers()
    damaged = rsa.RSAPrivateNumbers(
        numbers.p, numbers.q, numbers.d + 2, numbers.dmp1, numbers.dmq1, numbers.iqmp, numbers.public_numbers
    ).private_key(unsafe_skip_rsa_key_validation=True)
    with pytest.raises(ValueError, match=r"^holds no private key$"):
        read_key(pem(damaged))
