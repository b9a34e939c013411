"""Shape and algorithm: what the bytes alone decide, in this order.

The rules are those of `heptad.crypto`, where the client and the verifier read requests too: three
canonical base64url parts, a header of exactly `alg`, `typ` and `kid`, one of two algorithms, and
claims that two parsers cannot read differently.
"""

from heptad.crypto.requests import SignedRequest, parse_request


def check_shape(jws: bytes) -> SignedRequest:
    """The request that these bytes spell; nothing in it is proved yet.

    Raises: Problem `request_too_large` (also for `data`), `jws_malformed`, `jws_header_refused`,
    `algorithm_refused`, `claims_malformed`, `claim_missing`, `claim_invalid`.
    """
    return parse_request(jws)
