import pytest

from kproxy.config.addresses import parse_address, parse_cidr, parse_endpoint, parse_port_range, with_port


@pytest.mark.parametrize(
    ("text", "network"),
    [("10.1.2.3/8", "10.0.0.0/8"), ("0.0.0.0/0", "0.0.0.0/0"), ("fd00::1/64", "fd00::/64"), ("::/0", "::/0")],
)
def test_a_cidr_may_carry_host_bits(text: str, network: str) -> None:
    assert str(parse_cidr(text)) == network


@pytest.mark.parametrize(
    "text", ["", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/255.0.0.0", "10.0.0.0/-1", "x/8", "fd00::/129", "/8"]
)
def test_what_is_not_a_cidr(text: str) -> None:
    with pytest.raises(ValueError, match=r"CIDR|prefix length"):
        parse_cidr(text)


@pytest.mark.parametrize("text", ["", "localhost", "010.0.0.1", "fe80::1%eth0", "1.2.3", "[::1]", " 1.2.3.4"])
def test_what_is_not_an_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"IP address|zone"):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "printed"), [("0.0.0.0:10256", "0.0.0.0:10256"), ("[::]:1", "[::]:1"), ("[0:0::1]:65535", "[::1]:65535")]
)
def test_endpoints(text: str, printed: str) -> None:
    assert str(parse_endpoint(text)) == printed


@pytest.mark.parametrize(
    "text", ["", "1.2.3.4", "::1:80", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.4:http", "[1.2.3.4]:80", ":80", "[::1]"]
)
def test_what_is_not_an_endpoint(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|port|brackets"):
        parse_endpoint(text)


@pytest.mark.parametrize(
    ("text", "result"),
    [("1.2.3.4", "1.2.3.4:80"), ("::1", "[::1]:80"), ("1.2.3.4:5", "1.2.3.4:5"), ("bad", "bad"), ("", "")],
)
def test_a_port_is_added_to_bare_addresses_only(text: str, result: str) -> None:
    assert with_port(text, 80) == result


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [("", 0, 0), ("0", 0, 0), ("0-0", 0, 0), ("30000-32767", 30000, 32767), ("100+10", 100, 110), ("8080", 8080, 8080)],
)
def test_port_ranges(text: str, first: int, last: int) -> None:
    ports = parse_port_range(text)
    assert (ports.first, ports.last) == (first, last)
    assert ports.unrestricted == (text in {"", "0", "0-0"})


@pytest.mark.parametrize("text", ["10-5", "1-65536", "65535+1", "a-b", "1-2-3", "-", "-5"])
def test_what_is_not_a_port_range(text: str) -> None:
    with pytest.raises(ValueError, match=r"port range|must rise"):
        parse_port_range(text)
