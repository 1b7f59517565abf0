"""From what a foreign file holds to a network of ours: which reader of names and conventions it needs."""

from mien.core.errors import InputError
from mien.interop import nvlabs, r3gan, rosinality
from mien.interop._facts import Contents, NetworkFacts
from mien.interop._network import Network

GENERATORS = ("G_ema", "G")
KEYS = (*GENERATORS, "D")


def choose(networks: dict[str, NetworkFacts], key: str | None) -> str:
    """The key asked for, else that of the averaged generator, else of the generator. Raises InputError."""
    for name in [key] if key else GENERATORS:
        if name in networks:
            return name
    raise InputError(f"it has no {key or 'G_ema or G'}; it holds: {', '.join(networks)}")


def convert(contents: Contents, key: str) -> Network:
    """The network `key` for one of our families. Raises InputError where none can hold it."""
    facts, tensors = contents.facts.networks[key], contents.weights
    if contents.facts.maker == "rosinality":
        return rosinality.generator(facts, tensors)
    if r3gan.is_r3gan(tensors):
        return r3gan.discriminator(tensors) if key == "D" else r3gan.generator(facts, tensors)
    return nvlabs.discriminator(facts, tensors) if key == "D" else nvlabs.generator(facts, tensors)
