"""The registry in memory keeps the contract."""

import itertools

import pytest

from leeward.fakes.registry import FakeRegistry
from tests.contracts.registry import RegistryContract


class Made:
    def __init__(self) -> None:
        self.registry = FakeRegistry()
        self.address = self.registry.address
        self._numbers = itertools.count(1)

    def image(self) -> str:
        id = f"sha256:{next(self._numbers):064x}"
        self.registry.local.add(id)
        return id

    def foreign(self) -> str:
        name = f"strange:{next(self._numbers)}"
        self.registry.local.add(name)
        return name

    def local(self, name: str) -> bool:
        return name in self.registry.local

    def lose(self, reference: str) -> None:
        self.registry.local.discard(reference)

    def age(self) -> None:
        self.registry.young.clear()


class TestFakeRegistry(RegistryContract):
    @pytest.fixture
    def world(self) -> Made:
        return Made()
