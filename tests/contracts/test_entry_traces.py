"""A trace goes through a log with its entry: in the message's headers on Kafka, as a field of its own on Redis."""

from tests.contracts.test_event_log import KafkaLog, RedisLog, entries, kind  # noqa: F401  # fixtures

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_entries_come_with_the_trace_that_they_were_added_with(entries: KafkaLog | RedisLog) -> None:  # noqa: F811
    entries.append([b"one", b"two", b"three"], keys=["ada"] * 3, traces=[None, TRACE, None])
    entries.append([b"four"], keys=["ada"])
    found = [entries.read(group="g", partition=partition, limit=10) for partition in entries.lag(group="g")]
    (held,) = (each for each in found if each.values)
    assert held.values == (b"one", b"two", b"three", b"four")
    assert held.traces == (TRACE,)
