"""What the cell's policy says to a request that was validly signed.

A denied request is recorded too. But the log is never erased, so it must not become a place where a
subject can write what it likes: the public entry names the service and the action only as far as
the cell's own policy knows them. The subject's words stay in the sealed half.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from heptad.model.entry import Kind
from heptad.model.own_actions import OWN_KINDS, OWN_SERVICE
from heptad.model.problems import Problem
from heptad_validator.checks.action import check_action
from heptad_validator.checks.service import check_service

Policy = Mapping[str, frozenset[str]]
"""Service to the actions that it may ask for."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the entry says in public, and the code of the refusal (empty if there is none).

    A denied request is of kind REQUEST, whatever it asked for: it changed nothing.
    """

    service: str
    action: str
    denied_code: str
    kind: Kind = Kind.REQUEST


def judge(svc: str, act: str, *, policy: Policy) -> Verdict:
    """Whether this service may ask for this action, and what the entry may say of it.

    The cell's own service has its actions everywhere: no policy can take them from a subject.
    """
    if svc == OWN_SERVICE:
        kind = OWN_KINDS.get(act)
        if kind is None:
            return Verdict(svc, "", "action_not_allowed")
        return Verdict(svc, act, "", kind)
    service = ""
    try:
        check_service(svc, services=policy)
        service = svc
        check_action(act, allowed=policy[svc])
    except Problem as problem:
        return Verdict(service, "", problem.code)
    return Verdict(svc, act, "")
