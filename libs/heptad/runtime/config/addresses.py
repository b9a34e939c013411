"""Addresses as configuration writes them: `host:port`, IPv6 hosts in brackets."""


def split_address(address: str) -> tuple[str, int]:
    """Host (without brackets) and port of `host:port`. Raises: ValueError, with the reason."""
    host, separator, port_text = address.rpartition(":")
    if not separator or not host:
        raise ValueError(f"{address!r} is not host:port")
    if not port_text.isascii() or not port_text.isdigit():
        raise ValueError(f"{address!r} has no port number")
    port = int(port_text)
    if not 1 <= port <= 65_535:
        raise ValueError(f"port {port} is not between 1 and 65535")
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], port
    if ":" in host:
        raise ValueError(f"{address!r} needs brackets around its IPv6 host")
    return host, port


def address_mistake(address: str) -> str | None:
    """The reason why this is no address, or None."""
    try:
        split_address(address)
    except ValueError as error:
        return str(error)
    return None
