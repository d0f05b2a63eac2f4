"""How many may be under way."""

from app.policy.admission import Admission

BUDGET_S = 0.2


def run(
    admission: Admission, *, arrivals_per_s: int, capacity_per_s: int, seconds: float, start: float = 0.0
) -> list[tuple[float, bool]]:
    """(latency or 0, whether admitted) of each arrival at a server that takes requests one after the other."""
    seen, free_at, leaving = [], start, list[tuple[float, float]]()
    for number in range(round(arrivals_per_s * seconds)):
        now = start + number / arrivals_per_s
        while leaving and leaving[0][0] <= now:
            left_at, took_s = leaving.pop(0)
            admission.leave(took_s=took_s, now=left_at)
        if not admission.has_room:
            seen.append((0.0, False))
            continue
        admission.enter()
        free_at = max(free_at, now) + 1 / capacity_per_s
        leaving.append((free_at, free_at - now))
        seen.append((free_at - now, True))
    for left_at, took_s in leaving:
        admission.leave(took_s=took_s, now=left_at)
    return seen


def test_below_capacity_nobody_is_refused() -> None:
    seen = run(Admission(64, 1_216, BUDGET_S), arrivals_per_s=500, capacity_per_s=600, seconds=5)
    assert all(admitted for _, admitted in seen)


def test_at_three_times_capacity_those_let_in_are_in_time_and_capacity_is_used() -> None:
    seen = run(Admission(64, 1_216, BUDGET_S), arrivals_per_s=1_800, capacity_per_s=600, seconds=10)
    settled = seen[len(seen) // 5 :]
    admitted = [took_s for took_s, entered in settled if entered]
    assert max(admitted) <= BUDGET_S
    assert len(admitted) / 8 >= 0.95 * 600, "no capacity lies idle"


def test_the_room_grows_again_when_the_rush_is_over_and_things_go_faster() -> None:
    admission = Admission(16, 1_000, BUDGET_S)
    run(admission, arrivals_per_s=900, capacity_per_s=300, seconds=5)
    slow = admission.limit
    run(admission, arrivals_per_s=3_000, capacity_per_s=1_000, seconds=20, start=10.0)
    assert admission.limit > 2 * slow


def test_a_few_are_let_in_however_slow_it_is() -> None:
    admission = Admission(16, 1_000, BUDGET_S)
    for second in range(20):
        assert admission.has_room
        admission.enter()
        admission.leave(took_s=5.0, now=float(second))
    assert admission.limit == 16


def test_what_says_nothing_of_the_load_changes_nothing() -> None:
    admission = Admission(16, 1_000, BUDGET_S)
    admission.enter()
    admission.leave(took_s=None, now=1.0)
    assert (admission.limit, admission.num_under_way) == (1_000, 0)


def test_the_most_is_a_bound_from_the_start() -> None:
    admission = Admission(1, 2, BUDGET_S)
    for _ in range(2):
        assert admission.has_room
        admission.enter()
    assert not admission.has_room
