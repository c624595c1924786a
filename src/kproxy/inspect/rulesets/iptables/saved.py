"""Reads what iptables-save prints (iptables-save(8), iptables-extensions(8))."""

import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple

ARGUMENTS: dict[str, int] = {
    "-s": 1, "-d": 1, "-i": 1, "-o": 1, "-p": 1, "-m": 1,
    "--comment": 1,
    "--dport": 1, "--sport": 1, "--dports": 1, "--sports": 1, "--ports": 1,
    "--ctstate": 1, "--state": 1,
    "--mark": 1,
    "--src-type": 1, "--dst-type": 1,
    "--mode": 1, "--probability": 1, "--every": 1, "--packet": 1,
    "--match-set": 2,
    "--rcheck": 0, "--set": 0, "--update": 0, "--remove": 0, "--seconds": 1, "--reap": 0, "--hitcount": 1,
    "--rttl": 0, "--name": 1, "--mask": 1, "--rsource": 0, "--rdest": 0,
    "--physdev-is-in": 0, "--physdev-is-out": 0, "--physdev-is-bridged": 0,
    "--nfacct-name": 1,
    "--src-range": 1, "--dst-range": 1,
    "--tcp-flags": 2, "--syn": 0,
}  # fmt: skip
"""Options of matches that are known, with the number of their arguments."""


class Condition(NamedTuple):
    """One test that a packet must pass."""

    option: str
    arguments: tuple[str, ...]
    inverted: bool = False


class Rule(NamedTuple):
    text: str
    """Without `-A` and the chain."""
    conditions: tuple[Condition, ...]
    unknown: str
    """The part, if any, that has no known meaning; everything behind it is unread, up to the target."""
    target: str
    """Empty: the rule only counts."""
    goto: bool
    target_options: tuple[str, ...]
    comment: str


class Chain(NamedTuple):
    policy: str
    """`ACCEPT` or `DROP` for a built-in chain, `-` for others."""
    rules: list[Rule]


SavedTables = Mapping[str, Mapping[str, Chain]]
"""Chains by table and name."""


def read_saved(text: str) -> dict[str, dict[str, Chain]]:
    """Read all tables in the output of iptables-save.

    Raises:
        ValueError: a line is none of iptables-save; the message quotes it
    """
    tables: dict[str, dict[str, Chain]] = {}
    table: dict[str, Chain] = {}
    for line in text.splitlines():
        if line.startswith("*"):
            table = tables.setdefault(line[1:].strip(), {})
        elif line.startswith(":"):
            name, policy, *_ = line[1:].split()
            table[name] = Chain(policy, [])
        elif line.startswith("-A "):
            _, name, rest = line.split(" ", 2)
            table.setdefault(name, Chain("-", [])).rules.append(read_rule(rest))
        elif line.strip() and not line.startswith(("#", "COMMIT", "[")):
            raise ValueError(f"not a line of iptables-save: {line[:100]!r}")
    return tables


def read_rule(text: str) -> Rule:
    """Read one rule, without `-A` and its chain."""
    words = shlex.split(text)
    conditions: list[Condition] = []
    target, goto, options, unknown, comment = "", False, tuple[str, ...](), "", ""
    inverted, position = False, 0
    while position < len(words):
        word = words[position]
        if word in ("-j", "-g"):
            target, goto = words[position + 1] if position + 1 < len(words) else "", word == "-g"
            options = tuple(words[position + 2 :])
            break
        if word == "!":
            inverted, position = True, position + 1
            continue
        count = ARGUMENTS.get(word)
        if count is None:
            # How many arguments it has is not known, so nothing up to the target can be told apart.
            unknown = unknown or _unknown(words, position)
            position += 1
            continue
        arguments = tuple(words[position + 1 : position + 1 + count])
        if word == "--comment":
            comment = arguments[0] if arguments else ""
        elif not unknown:
            conditions.append(Condition(word, arguments, inverted))
        inverted, position = False, position + 1 + count
    return Rule(text, tuple(conditions), unknown, target, goto, options, comment)


def _unknown(words: Sequence[str], position: int) -> str:
    end = next((i for i in range(position, len(words)) if words[i] in ("-j", "-g")), len(words))
    return " ".join(words[position:end])
