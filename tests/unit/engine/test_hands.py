"""Claims in hand."""

from oppsync_worker.engine.hands import Hands, Hold


def test_only_what_is_unsettled_is_renewed() -> None:
    """A settled claim is gone in Redis; an abandoned one is left to its lease."""
    hands = Hands()
    for tag in ("1", "2", "3"):
        hands.take(tag)

    hands.settle("1")
    hands.abandon("2")

    assert hands.to_renew() == ["3"]


def test_dropping_tells_what_a_claim_was() -> None:
    """Once."""
    hands = Hands()
    hands.take("1")
    hands.settle("1")

    assert hands.drop("1") is Hold.SETTLED
    assert hands.drop("1") is None


def test_a_claim_that_has_left_stays_gone() -> None:
    """Or it would never be dropped again."""
    hands = Hands()
    hands.take("1")
    hands.drop("1")

    hands.settle("1")
    hands.abandon("1")

    assert hands.drop("1") is None
