from __future__ import annotations

import asyncio
import logging

import pytest
from fake_api import FakeApi, InMemoryClient

from edgevirt.kube.clock import FakeClock
from edgevirt.kube.leader import LeaderElector

pytestmark = pytest.mark.unit

LEASE = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/lock"


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


class Candidate:
    def __init__(self, api: FakeApi, clock: FakeClock, identity: str) -> None:
        self.client = InMemoryClient(api, clock)
        self.clock = clock
        self.history: list[tuple[str, float]] = []
        self.elector = LeaderElector(self.client, "ns", "lock", identity, random_=lambda: 0.5)
        self.finish = asyncio.Event()
        self.task = asyncio.create_task(self.elector.run(self._lead))

    async def _lead(self) -> None:
        self.history.append(("leads", self.clock.monotonic()))
        try:
            await self.finish.wait()
        finally:
            self.history.append(("stops", self.clock.monotonic()))

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


async def test_the_first_candidate_leads_and_the_second_waits() -> None:
    api, clock = FakeApi(), FakeClock()
    first = Candidate(api, clock, "first")
    await clock.advance(1)
    second = Candidate(api, clock, "second")
    await clock.advance(120)
    assert first.history == [("leads", 0)]
    assert second.history == []
    assert api.objects[LEASE]["spec"]["holderIdentity"] == "first"
    await first.stop()
    await second.stop()


async def test_a_leader_that_goes_quiet_is_followed_after_the_lease_ran_out() -> None:
    api, clock = FakeApi(), FakeClock()
    first, second = Candidate(api, clock, "first"), Candidate(api, clock, "second")
    await clock.advance(5)
    first.task.cancel()  # killed: it neither renews nor releases
    first.elector._release = lambda: asyncio.sleep(0)  # type: ignore[method-assign]
    await asyncio.wait([first.task])
    await clock.advance(40)
    ((_, at),) = second.history
    assert 15 <= at - 4 <= 15 + 2 * 2.2, "not before the lease ran out, soon after it did"
    assert api.objects[LEASE]["spec"]["leaseTransitions"] == 1
    await second.stop()


async def test_a_leader_that_leaves_hands_over_at_once() -> None:
    api, clock = FakeApi(), FakeClock()
    first, second = Candidate(api, clock, "first"), Candidate(api, clock, "second")
    await clock.advance(5)
    await first.stop()
    assert api.objects[LEASE]["spec"]["holderIdentity"] == ""
    await clock.advance(2.5)
    assert [what for what, _ in second.history] == ["leads"]
    await second.stop()


async def test_a_leader_cut_off_from_the_api_stops_before_another_may_start() -> None:
    api, clock = FakeApi(), FakeClock()
    first = Candidate(api, clock, "first")
    await clock.advance(1)
    second = Candidate(api, clock, "second")
    await clock.advance(9)
    own_api = FakeApi()
    own_api.unreachable = True
    first.client.api = own_api
    await clock.advance(60)
    stopped = dict(first.history)["stops"]
    started = second.history[0][1]
    assert stopped <= 10 + 10 + 0.001
    assert stopped < started
    await first.stop()
    await second.stop()


async def test_a_leader_whose_lease_was_taken_stops_and_becomes_a_candidate_again() -> None:
    api, clock = FakeApi(), FakeClock()
    first = Candidate(api, clock, "first")
    await clock.advance(5)
    taken = api.objects[LEASE]
    api.put(LEASE.rsplit("/", 1)[0], "lock", spec={**taken["spec"], "holderIdentity": "intruder"})
    await clock.advance(2)
    assert [what for what, _ in first.history] == ["leads", "stops"]
    await clock.advance(30)
    assert [what for what, _ in first.history] == ["leads", "stops", "leads"]
    await first.stop()


async def test_work_that_ends_by_itself_ends_the_election_and_frees_the_lease() -> None:
    api, clock = FakeApi(), FakeClock()
    first = Candidate(api, clock, "first")
    await clock.advance(5)
    first.finish.set()
    await clock.advance(1)
    assert first.task.done()
    assert first.task.exception() is None
    assert api.objects[LEASE]["spec"]["holderIdentity"] == ""


async def test_a_clock_set_wrong_on_another_machine_does_not_matter() -> None:
    api, clock = FakeApi(), FakeClock()
    spec = {"holderIdentity": "other", "leaseDurationSeconds": 15, "renewTime": "1970-01-01T00:00:00.000000Z"}
    api.put(LEASE.rsplit("/", 1)[0], "lock", spec=spec)
    candidate = Candidate(api, clock, "first")
    await clock.advance(14)
    assert candidate.history == [], "an old timestamp is no proof that the holder is gone"
    await clock.advance(4)
    assert [what for what, _ in candidate.history] == ["leads"]
    await candidate.stop()


async def test_times_that_could_make_two_leaders_are_refused() -> None:
    with pytest.raises(ValueError, match="renew_deadline"):
        LeaderElector(InMemoryClient(FakeApi(), FakeClock()), "ns", "lock", "x", renew_deadline=20)
