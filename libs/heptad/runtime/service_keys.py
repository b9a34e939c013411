"""The keys with which relying services sign bundles, out of `cell.toml`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

from heptad.crypto.errors import KeyInvalidError
from heptad.crypto.jwk import PublicKey, parse_jwk
from heptad.runtime.config.cell import Cell, ServiceKey
from heptad.runtime.errors import ConfigInvalidError

ServiceKeys: TypeAlias = Mapping[str, Mapping[str, PublicKey]]
"""Service to its keys by key id; a service without keys has none."""


def service_keys(cell: Cell) -> ServiceKeys:
    """The keys of all services of this cell. Raises: ConfigInvalidError for one that is none."""
    return MappingProxyType(
        {
            service.id: {jwk.kid: _key(service.id, jwk) for jwk in service.keys}
            for service in cell.services
        }
    )


def _key(service: str, jwk: ServiceKey) -> PublicKey:
    members = {"kty": jwk.kty, "crv": jwk.crv, "x": jwk.x} | ({"y": jwk.y} if jwk.y else {})
    try:
        key = parse_jwk(members)
    except KeyInvalidError as error:
        raise ConfigInvalidError((f"cell.toml: a key of {service}: {error.detail}",)) from error
    if key.kid != jwk.kid:
        reason = f"cell.toml: a key of {service}: its kid is not its thumbprint, {key.kid}"
        raise ConfigInvalidError((reason,))
    return key
