"""Service: the cell knows whom the subject talks to."""

from collections.abc import Container

from heptad.model.problems import Problem


def check_service(svc: str, *, services: Container[str]) -> None:
    """Raises: Problem `service_unknown`."""
    if svc not in services:
        raise Problem("service_unknown", "svc is not a service of this cell", field="svc")
