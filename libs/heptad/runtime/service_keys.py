"""The keys with which relying services sign bundles, out of `cell.toml`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

from heptad.crypto.bundles import ServiceKey
from heptad.crypto.errors import KeyInvalidError
from heptad.crypto.jwk import parse_jwk
from heptad.runtime.config.cell import Cell
from heptad.runtime.config.dated_keys import ServiceKey as WrittenKey
from heptad.runtime.config.dates import seconds_of
from heptad.runtime.errors import ConfigInvalidError

ServiceKeys: TypeAlias = Mapping[str, Mapping[str, ServiceKey]]
"""Service to its keys by key id, retired ones included; a service without keys has none."""


def service_keys(cell: Cell) -> ServiceKeys:
    """The keys of all services of this cell. Raises: ConfigInvalidError for one that is none."""
    limits = cell.limits
    late_s = limits.request_lifetime_s_max + limits.clock_skew_s_max
    return MappingProxyType(
        {
            service.id: {jwk.kid: _key(service.id, jwk, late_s) for jwk in service.keys}
            for service in cell.services
        }
    )


def _key(service: str, jwk: WrittenKey, late_s: int) -> ServiceKey:
    """`late_s`: how much later than it was signed a statement may be admitted."""
    members = {"kty": jwk.kty, "crv": jwk.crv, "x": jwk.x} | ({"y": jwk.y} if jwk.y else {})
    try:
        key = parse_jwk(members)
    except KeyInvalidError as error:
        raise ConfigInvalidError((f"cell.toml: a key of {service}: {error.detail}",)) from error
    if key.kid != jwk.kid:
        reason = f"cell.toml: a key of {service}: its kid is not its thumbprint, {key.kid}"
        raise ConfigInvalidError((reason,))
    if not jwk.retired:
        return ServiceKey(key)
    retired_s = seconds_of(jwk.retired)
    return ServiceKey(key, retired_s=retired_s, entered_s=retired_s + late_s)
