"""From what a foreign file holds to a network of ours: which reader of names and conventions it needs."""

from mien.interop import nvlabs, r3gan, rosinality
from mien.interop._facts import Contents
from mien.interop._network import Network

GENERATORS = ("G_ema", "G")


def wanted(key: str | None) -> tuple[str, ...]:
    """The network asked for, else the averaged generator, else the generator."""
    return (key,) if key else GENERATORS


def convert(contents: Contents) -> Network:
    """The chosen network for one of our families. Raises InputError where none can hold it."""
    if contents.chosen is None:
        raise ValueError("no network was asked for")
    facts, tensors = contents.facts.networks[contents.chosen], contents.weights
    is_d = contents.chosen == "D"
    if contents.facts.maker == "rosinality":
        return rosinality.discriminator(tensors) if is_d else rosinality.generator(tensors)
    if r3gan.is_r3gan(tensors):
        return r3gan.discriminator(tensors) if is_d else r3gan.generator(facts, tensors)
    return nvlabs.discriminator(facts, tensors) if is_d else nvlabs.generator(facts, tensors)
