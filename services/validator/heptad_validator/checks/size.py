"""Size: nothing longer than the cell allows is even looked at."""

from heptad.crypto.errors import RequestTooLargeError


def check_size(jws: bytes, *, bytes_max: int) -> None:
    """`bytes_max` is the cell's limit, which may be stricter than the format's.

    Raises: Problem `request_too_large`.
    """
    if len(jws) > bytes_max:
        raise RequestTooLargeError(f"the JWS has {len(jws)} bytes; the limit is {bytes_max}")
