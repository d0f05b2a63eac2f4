"""How requests gather into batches."""

import asyncio
from collections.abc import Sequence

from app.serving.coalescer import Coalescer, Gathering


class Doubling:
    """Answers 2x, one batch at a time as the test lets them."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()

    async def answer(self, questions: Sequence[int]) -> list[int]:
        self.batches.append(list(questions))
        await self.gate.wait()
        return [2 * question for question in questions]


async def settled() -> None:
    """Everything that can run without time passing has run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_idle_coalescer_waits_for_nobody() -> None:
    doubling = Doubling()
    doubling.gate.set()
    coalescer = Coalescer(doubling.answer, Gathering(wait_s=3600))
    assert await asyncio.wait_for(coalescer.ask(4), 1) == 8


async def test_what_arrives_together_leaves_together_and_each_gets_its_own_answer() -> None:
    doubling = Doubling()
    doubling.gate.set()
    coalescer = Coalescer(doubling.answer, Gathering())
    assert await asyncio.gather(*(coalescer.ask(i) for i in range(40))) == [2 * i for i in range(40)]
    assert doubling.batches == [list(range(40))]


async def test_while_one_batch_is_under_way_the_others_gather_until_it_comes_home() -> None:
    doubling = Doubling()
    coalescer = Coalescer(doubling.answer, Gathering(wait_s=3600))
    first = asyncio.create_task(coalescer.ask(1))
    await asyncio.sleep(0.01)
    rest = [asyncio.create_task(coalescer.ask(i)) for i in (2, 3, 4)]
    await settled()
    assert doubling.batches == [[1]]
    doubling.gate.set()
    assert await asyncio.wait_for(asyncio.gather(first, *rest), 1) == [2, 4, 6, 8]
    assert doubling.batches == [[1], [2, 3, 4]]


async def test_a_full_batch_leaves_at_once() -> None:
    doubling = Doubling()
    coalescer = Coalescer(doubling.answer, Gathering(max_batch=3, max_in_flight=8, wait_s=3600))
    tasks = [asyncio.create_task(coalescer.ask(i)) for i in range(6)]
    await settled()
    assert doubling.batches == [[0, 1, 2], [3, 4, 5]]
    doubling.gate.set()
    await asyncio.gather(*tasks)


async def test_no_more_batches_travel_than_may() -> None:
    doubling = Doubling()
    coalescer = Coalescer(doubling.answer, Gathering(max_batch=2, max_in_flight=2, wait_s=0))
    tasks = [asyncio.create_task(coalescer.ask(i)) for i in range(10)]
    await asyncio.sleep(0.01)
    assert len(doubling.batches) == 2
    doubling.gate.set()
    assert await asyncio.gather(*tasks) == [2 * i for i in range(10)]


async def test_an_error_reaches_everyone_in_the_batch_and_nobody_else() -> None:
    async def answer(questions: Sequence[int]) -> list[int]:
        if 13 in questions:
            raise ValueError("13")
        return list(questions)

    coalescer = Coalescer(answer, Gathering())
    together = await asyncio.gather(coalescer.ask(13), coalescer.ask(1), return_exceptions=True)
    assert [type(result) for result in together] == [ValueError, ValueError]
    assert await coalescer.ask(2) == 2


async def test_whoever_gives_up_is_left_out_and_the_others_are_not_disturbed() -> None:
    doubling = Doubling()
    coalescer = Coalescer(doubling.answer, Gathering(max_in_flight=1, wait_s=3600))
    first = asyncio.create_task(coalescer.ask(1))
    await asyncio.sleep(0.01)
    leaver, stayer = asyncio.create_task(coalescer.ask(2)), asyncio.create_task(coalescer.ask(3))
    await settled()
    leaver.cancel()
    await settled()
    doubling.gate.set()
    assert await asyncio.wait_for(asyncio.gather(first, stayer), 1) == [2, 6]
    assert doubling.batches == [[1], [3]]


async def test_companies_travel_apart_and_take_turns() -> None:
    doubling = Doubling()
    coalescer = Coalescer(
        doubling.answer, Gathering(max_batch=2, max_in_flight=1, wait_s=3600), company=lambda question: question % 2
    )
    first = asyncio.create_task(coalescer.ask(1))
    await asyncio.sleep(0.01)
    rest = [asyncio.create_task(coalescer.ask(i)) for i in (3, 5, 7, 9, 2, 4, 6)]
    await settled()
    doubling.gate.set()
    await asyncio.wait_for(asyncio.gather(first, *rest), 1)
    assert doubling.batches == [[1], [3, 5], [2, 4], [7, 9], [6]]
