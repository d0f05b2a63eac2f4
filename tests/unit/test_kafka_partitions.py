"""Keys go where Kafka's own clients would send them."""

from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2

from app.adapters.kafka_partitions import partitions_of


@given(st.lists(st.binary(max_size=40), max_size=20), st.integers(1, 50))
def test_every_key_goes_where_kafka_s_default_partitioner_sends_it(keys: list[bytes], number: int) -> None:
    assert partitions_of(keys, number) == [(murmur2(key) & 0x7FFFFFFF) % number for key in keys]
