"""Reads weft.topology/1 files for netlab: the same format as `weft demo` and the simulator use, see docs/NETLAB.md."""

import ipaddress
import json

FORMAT = "weft.topology/1"
NATS = ("none", "fullCone", "addressRestricted", "portRestricted", "symmetric")
# RFC 2544: addresses for measurements, which no network routes. Public, so that programs take the paths for long ones.
FIRST_ADDRESS = ipaddress.IPv4Address("198.18.0.1")
PREFIX_LENGTH = 15


class TopologyError(Exception):
    """What is wrong with a topology, in a sentence."""


def number(table, key, default, what, least=0.0, most=float("inf")):
    value = table.get(key, default)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not least <= value <= most:
        raise TopologyError(f"{what}: {key} must be a number of at least {least:g}, not {value!r}")
    return float(value)


class Path:
    """One direction between two peers."""

    def __init__(self, table, what):
        self.megabits = number(table, "megabits", None, what, 0.001)
        self.delay_ms = number(table, "delayMilliseconds", None, what)
        self.jitter_ms = number(table, "jitterMilliseconds", 0, what)
        self.loss = number(table, "lossPercent", 0, what, 0, 100) / 100
        self.reorder = number(table, "reorderPercent", 0, what, 0, 100) / 100
        self.reorder_ms = number(table, "reorderMilliseconds", 1, what)


class Port:
    """What the router sees: a peer with an address of its own, or a gateway with its peers behind a NAT."""

    def __init__(self, name, table, nat):
        what = f"peer {table.get('name')}"
        self.name = name
        self.nat = nat
        self.site = table["site"]
        self.peers = []
        self.up_megabits = number(table, "upMegabits", None, what, 0.001)
        self.down_megabits = number(table, "downMegabits", None, what, 0.001)
        self.up_bucket = number(table, "upBucketBytes", 0, what)
        self.down_bucket = number(table, "downBucketBytes", 0, what)
        self.line_megabits = number(table, "lineMegabits", 1000, what, 0.001)
        self.buffer_ms = number(table, "bufferMilliseconds", 200, what)
        self.nat_timeout = int(number(table, "natTimeoutSeconds", 0, what))


class Peer:
    def __init__(self, index, table, port):
        self.index = index
        self.name = table["name"]
        self.table = table
        self.port = port
        self.address = None  # the one on its own interface
        self.lan = None  # its /30 network behind a gateway


class Topology:
    def __init__(self, document):
        if document.get("format") != FORMAT:
            raise TopologyError(f"its format is {document.get('format')!r}, not {FORMAT!r}")
        try:
            self.read(document)
        except KeyError as missing:
            raise TopologyError(f"the key {missing} is missing") from None

    def read(self, document):
        self.inside = {s["name"]: Path(s["inside"], f"site {s['name']}") for s in document["sites"]}
        self.between = {}
        for link in document["links"]:
            names = link["between"]
            if len(names) != 2 or any(name not in self.inside for name in names):
                raise TopologyError(f"the link between {names} does not name two known sites")
            there = Path(link["path"], f"link {names}")
            back = Path(link["back"], f"link {names}") if "back" in link else there
            self.between.setdefault((names[0], names[1]), there)
            self.between.setdefault((names[1], names[0]), back)
        self.elsewhere = Path(document["elsewhere"], "elsewhere")
        self.ports, self.peers = [], []
        gateways = {}
        for index, table in enumerate(document["peers"]):
            if table["site"] not in self.inside:
                raise TopologyError(f"{table['name']} is at the unknown site {table['site']}")
            if any(peer.name == table["name"] for peer in self.peers) or "/" in table["name"]:
                raise TopologyError(f"the name {table['name']!r} is taken by another peer, or contains a slash")
            nat = table.get("nat", "none")
            if nat not in NATS:
                raise TopologyError(f"{table['name']}: nat is {nat!r}; known are {', '.join(NATS)}")
            gateway = table.get("gateway", f"nat-{table['name']}") if nat != "none" else table["name"]
            if gateway not in gateways:
                gateways[gateway] = Port(gateway, table, nat)
                self.ports.append(gateways[gateway])
            port = gateways[gateway]
            if port.nat != nat or port.site != table["site"]:
                raise TopologyError(f"{table['name']} says otherwise of its gateway {gateway} than the peers before it")
            self.peers.append(Peer(index, table, port))
            port.peers.append(self.peers[-1])
        if not self.peers:
            raise TopologyError("it names no peers")
        for place, port in enumerate(self.ports):
            port.index = place
            port.address = FIRST_ADDRESS + place
            for number_, peer in enumerate(port.peers):
                if port.nat == "none":
                    peer.address = port.address
                else:
                    base = int(ipaddress.IPv4Address("192.168.0.0")) + (place % 256) * 256 + number_ * 4
                    peer.lan = (ipaddress.IPv4Address(base + 1), ipaddress.IPv4Address(base + 2))
                    peer.address = peer.lan[1]

    @staticmethod
    def load(file):
        try:
            with open(file, encoding="utf-8") as source:
                return Topology(json.load(source))
        except OSError as error:
            raise TopologyError(f"cannot read {file}: {error.strerror}") from None
        except ValueError as error:
            raise TopologyError(f"{file} is no JSON: {error}") from None
        except TopologyError as error:
            raise TopologyError(f"{file}: {error}") from None

    def path(self, one, other):
        """The path from one port to another."""
        if one.site == other.site:
            return self.inside[one.site]
        return self.between.get((one.site, other.site), self.elsewhere)

    def megabits(self, one, other):
        """What a measurement of one direction should find, in 10^6 bits of IP packets a second."""
        return min(one.up_megabits, other.down_megabits, self.path(one, other).megabits)

    def round_trip_ms(self, one, other):
        """Least round trip of a small packet, without the time that its bits take."""
        return self.path(one, other).delay_ms + self.path(other, one).delay_ms

    def plan(self, seed, passage_ms):
        """The text that the router reads, with delays shorter by what a packet's way through it takes anyway."""
        lines = [f"seed {seed}", f"ports {len(self.ports)}"]
        for port in self.ports:
            lines.append(
                f"port {port.index} tun{port.index} {port.address} {port.up_megabits * 1e6} {port.up_bucket}"
                f" {port.line_megabits * 1e6} {port.down_megabits * 1e6} {port.down_bucket}"
                f" {port.line_megabits * 1e6} {port.buffer_ms}"
            )
        for one in self.ports:
            for other in self.ports:
                if one is not other:
                    path = self.path(one, other)
                    lines.append(
                        f"path {one.index} {other.index} {path.megabits * 1e6} {max(path.delay_ms - passage_ms, 0)} {path.jitter_ms}"
                        f" {path.loss} {path.reorder} {path.reorder_ms} {one.buffer_ms}"
                    )
        return "\n".join(lines + ["end", ""])
