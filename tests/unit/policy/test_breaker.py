"""When a breaker lets calls through."""

from app.policy.breaker import Breaker, is_fair


def test_a_working_dependency_is_always_asked() -> None:
    breaker = Breaker()
    assert all(breaker.allows(now) for now in range(5))


def test_failures_in_a_row_open_it_until_it_has_cooled_down() -> None:
    breaker = Breaker(cool_down_s=2.0, threshold=2)
    breaker.failed(10.0)
    assert breaker.allows(10.1)
    breaker.failed(10.2)
    assert not breaker.allows(12.1)
    assert breaker.allows(12.3)


def test_a_success_between_failures_starts_the_count_again() -> None:
    breaker = Breaker(threshold=2)
    breaker.failed(1.0)
    breaker.succeeded()
    breaker.failed(2.0)
    assert breaker.closed


def test_after_the_cool_down_one_call_probes_while_the_others_stay_away() -> None:
    breaker = Breaker(cool_down_s=1.0)
    breaker.failed(0.0)
    assert [breaker.allows(1.5), breaker.allows(1.5), breaker.allows(1.6)] == [True, False, False]
    breaker.succeeded()
    assert breaker.allows(1.7)


def test_a_probe_that_fails_opens_it_for_another_cool_down() -> None:
    breaker = Breaker(cool_down_s=1.0, threshold=3)
    for now in (0.0, 0.1, 0.2):
        breaker.failed(now)
    assert breaker.allows(1.3)
    breaker.failed(1.4)
    assert not breaker.allows(2.3)


def test_a_probe_that_never_reports_back_is_followed_by_another() -> None:
    breaker = Breaker(cool_down_s=1.0)
    breaker.failed(0.0)
    assert breaker.allows(1.1)
    assert breaker.allows(2.2)


def test_only_who_had_time_to_answer_is_blamed_for_being_late() -> None:
    usual_s = 0.2
    assert is_fair(0.3 * usual_s, budget_s=usual_s), "a stage's usual share"
    assert not is_fair(0.002, budget_s=usual_s), "the share of a request with 10 ms"
