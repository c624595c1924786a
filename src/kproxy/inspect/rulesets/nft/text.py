"""Rules in nftables' own words again, made from the JSON, for people to read."""

import json
from collections.abc import Sequence
from typing import Any

_OPERATORS = ("&", "|", "^", "<<", ">>")


def rule_text(statements: Sequence[Any], comment: str) -> str:
    """A rule, near to what `nft list` prints; what has no known form is shown as its JSON."""
    parts = [_statement(statement) for statement in statements]
    if comment:
        parts.append(f'comment "{comment}"')
    return " ".join(parts)


def _statement(statement: Any) -> str:
    if not isinstance(statement, dict) or len(statement) != 1:
        return statement if isinstance(statement, str) else json.dumps(statement)
    ((name, body),) = statement.items()
    match name, body:
        case "match", {"op": str(op), "left": left, "right": right}:
            between = "" if op in ("==", "in") else f"{op} "
            return f"{expression_text(left)} {between}{expression_text(right)}"
        case "mangle", {"key": key, "value": value}:
            return f"{expression_text(key)} set {expression_text(value)}"
        case (("jump" | "goto"), {"target": str(target)}):
            return f"{name} {target}"
        case "vmap", {"key": key, "data": data}:
            return f"{expression_text(key)} vmap {expression_text(data)}"
        case (("dnat" | "snat"), {"addr": address}):
            port = f":{expression_text(body['port'])}" if "port" in body else ""
            return f"{name} to {expression_text(address)}{port}"
        case "set", {"op": str(op), "elem": element, "set": str(target)}:
            return f"{op} {target} {{ {expression_text(element)} }}"
        case "masquerade", _:
            flags = body.get("flags", "") if isinstance(body, dict) else ""
            return " ".join(["masquerade", *([flags] if isinstance(flags, str) else flags)]).strip()
        case "reject", {"expr": str(words)}:
            return "reject" if words == "port-unreachable" else f"reject with {words}"
        case "counter", _:
            return "counter"
        case _, None:
            return str(name)
    return f"{name} {json.dumps(body)}"


def expression_text(expression: Any) -> str:
    """An expression, likewise."""
    if not isinstance(expression, dict) or len(expression) != 1:
        if isinstance(expression, list):
            return ", ".join(map(expression_text, expression))
        return str(expression) if isinstance(expression, (str, int)) else json.dumps(expression)
    ((name, body),) = expression.items()
    match name, body:
        case "payload", {"protocol": str(protocol), "field": str(field)}:
            return f"{protocol} {field}"
        case (("meta" | "ct"), {"key": str(key)}):
            return f"{name} {key}" if name == "ct" or not key.endswith("name") else key
        case "fib", {"result": str(result), "flags": flags}:
            return f"fib {' . '.join(flags) if isinstance(flags, list) else flags} {result}"
        case "concat", list():
            return " . ".join(map(expression_text, body))
        case "prefix", {"addr": address, "len": length}:
            return f"{address}/{length}"
        case "range", [first, last]:
            return f"{expression_text(first)}-{expression_text(last)}"
        case "numgen", {"mode": mode, "mod": modulus}:
            return f"numgen {mode} mod {modulus}"
        case "jhash", {"expr": hashed, "mod": modulus}:
            return f"jhash {expression_text(hashed)} mod {modulus}"
        case "map", {"key": key, "data": data}:
            return f"{expression_text(key)} map {expression_text(data)}"
        case "set", list():
            return "{ " + ", ".join(map(_element, body)) + " }"
        case "elem", {"val": value}:
            return expression_text(value)
        case (("goto" | "jump"), {"target": target}):
            return f"{name} {target}"
        case _, [first, second] if name in _OPERATORS:
            return f"{expression_text(first)} {name} {expression_text(second)}"
        case _, None:
            return str(name)
    return json.dumps(expression)


def _element(element: Any) -> str:
    if isinstance(element, list) and len(element) == 2:
        return f"{expression_text(element[0])} : {expression_text(element[1])}"
    return expression_text(element)
