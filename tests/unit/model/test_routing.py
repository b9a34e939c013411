"""Which validator a request goes to."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from heptad.model.routing import ranked

_VALIDATORS = st.lists(st.integers(1, 50), min_size=1, max_size=8, unique=True)


@given(st.text(max_size=40), _VALIDATORS, st.randoms())
def test_the_ranking_does_not_depend_on_the_order_asked(subject, validators, rng):
    shuffled = rng.sample(validators, len(validators))
    assert ranked(subject, validators) == ranked(subject, shuffled)


@given(st.text(max_size=40), _VALIDATORS)
def test_a_lost_validator_moves_only_its_own_subjects(subject, validators):
    order = ranked(subject, validators)
    assert ranked(subject, order[1:]) == order[1:]


def test_two_validators_share_the_subjects_about_evenly():
    first = Counter(ranked(f"subject-{n}", [1, 2])[0] for n in range(4000))
    assert 1800 < first[1] < 2200
