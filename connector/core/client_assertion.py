"""Makes the assertion with which a client proves to an OpenID provider that it holds its key.

Source: RFC 7523, sections 2.2 and 3; RFC 7515, section 3; RFC 7518, sections 3.3 and 3.4.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

if TYPE_CHECKING:
    from collections.abc import Mapping

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# Keycloak refuses a longer life.
LIFE_SECONDS: Final = 60
# To check a key of 4,096 bits takes 0.2 s, one of 8,192 bits several seconds. Nothing else goes on.
LEAST_RSA_BITS: Final = 2048
MOST_RSA_BITS: Final = 4096
_P256_BYTES: Final = 32

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def read_key(pem: bytes) -> SigningKey:
    """Return the private key of a PEM file: RSA of 2,048 to 4,096 bits, or the curve P-256.

    Raises ValueError, whose text says what the file holds instead.
    """
    if b"ENCRYPTED" in pem:
        raise ValueError("holds an encrypted key")
    try:
        unchecked = load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
        is_curve = isinstance(unchecked, ec.EllipticCurvePrivateKey) and isinstance(unchecked.curve, ec.SECP256R1)
        if is_curve or (
            isinstance(unchecked, rsa.RSAPrivateKey) and LEAST_RSA_BITS <= unchecked.key_size <= MOST_RSA_BITS
        ):
            return load_pem_private_key(pem, password=None)  # type: ignore[return-value]  # the kind is known
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("holds no private key") from None
    raise ValueError("holds another kind of key")


def assertion_claims(client_id: str, audience: str, now: int, unique: str) -> dict[str, str | int]:
    """Return what the client says, for LIFE_SECONDS.

    `now` is in epoch seconds. `unique` is the JWT's id: a provider takes each only once.
    """
    parties = {"iss": client_id, "sub": client_id, "aud": audience}
    return {**parties, "jti": unique, "iat": now, "exp": now + LIFE_SECONDS}


def sign(claims: Mapping[str, str | int], key: SigningKey, key_id: str | None) -> str:
    """Return the claims as a signed JWT: RS256 with an RSA key, else ES256."""
    header = {"alg": "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256", "typ": "JWT"}
    if key_id is not None:
        header["kid"] = key_id
    signed = f"{_part(header)}.{_part(claims)}"
    return f"{signed}.{_text(_signature(key, signed.encode()))}"


def _signature(key: SigningKey, signed: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    # RFC 7518 wants the two numbers one after the other; the library returns them as DER.
    return b"".join(
        number.to_bytes(_P256_BYTES) for number in decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    )


def _part(values: Mapping[str, str | int]) -> str:
    return _text(json.dumps(values, separators=(",", ":")).encode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
