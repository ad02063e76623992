internal import Foundation

/// An emulated network, as a person writes it: `weft.topology/1` in JSON. Demo and tests only.
///
/// Peers sit at sites. A peer has an access link; two sites are joined by a link with its own rate and delay for each pair
/// of peers; peers of one site are joined by the site's own. `Tools/netlab` reads the same files, and more keys
/// (docs/NETLAB.md).
package struct TopologyFile: Codable, Hashable, Sendable {
    package static let format = "weft.topology/1"

    /// A path between two peers.
    package struct Path: Codable, Hashable, Sendable {
        /// Rate of one pair of peers in one direction, in 10⁶ bits a second.
        package var megabits: Double
        /// One way, in milliseconds.
        package var delayMilliseconds: Double
        /// Largest extra delay, evenly spread; packets of one pair keep their order.
        package var jitterMilliseconds: Double?
        /// Share of datagrams that are lost; streams are not touched.
        package var lossPercent: Double?

        package init(
            megabits: Double, delayMilliseconds: Double, jitterMilliseconds: Double? = nil, lossPercent: Double? = nil
        ) {
            self.megabits = megabits
            self.delayMilliseconds = delayMilliseconds
            self.jitterMilliseconds = jitterMilliseconds
            self.lossPercent = lossPercent
        }
    }

    package struct Site: Codable, Hashable, Sendable {
        package var name: String
        /// Between peers of this site.
        package var inside: Path

        package init(name: String, inside: Path) {
            self.name = name
            self.inside = inside
        }
    }

    package struct Link: Codable, Hashable, Sendable {
        /// Two names of sites.
        package var between: [String]
        /// From the first to the second, and back unless `back` says otherwise.
        package var path: Path
        /// From the second to the first.
        package var back: Path?

        package init(between: [String], path: Path, back: Path? = nil) {
            self.between = between
            self.path = path
            self.back = back
        }
    }

    package struct Peer: Codable, Hashable, Sendable {
        package var name: String
        package var site: String
        /// The access link, in 10⁶ bits a second.
        package var upMegabits: Double
        package var downMegabits: Double
        /// Where the peer listens, as in "127.0.0.1:7601", if that is settled beforehand. Peers without one are
        /// recognised by their first datagram.
        package var address: String?
        /// What this peer says of its machine, so that equal processes can stand for unequal machines.
        package var gigaflops: Double?
        package var memoryMebibytes: UInt64?

        package init(
            name: String, site: String, upMegabits: Double, downMegabits: Double, address: String? = nil,
            gigaflops: Double? = nil, memoryMebibytes: UInt64? = nil
        ) {
            self.name = name
            self.site = site
            self.upMegabits = upMegabits
            self.downMegabits = downMegabits
            self.address = address
            self.gigaflops = gigaflops
            self.memoryMebibytes = memoryMebibytes
        }
    }

    package var format: String
    /// One line on what this network is.
    package var description: String?
    package var sites: [Site]
    package var links: [Link]
    /// Between sites without a link of their own.
    package var elsewhere: Path
    package var peers: [Peer]

    package init(
        description: String? = nil, sites: [Site], links: [Link], elsewhere: Path, peers: [Peer]
    ) {
        format = Self.format
        self.description = description
        self.sites = sites
        self.links = links
        self.elsewhere = elsewhere
        self.peers = peers
    }

    /// Reads and checks a file.
    package static func load(_ file: String) throws -> TopologyFile {
        guard let data = FileManager.default.contents(atPath: file) else {
            throw TopologyError("cannot read the topology file \(file); check the path")
        }
        do {
            let topology = try JSONDecoder().decode(TopologyFile.self, from: data)
            try topology.check()
            return topology
        } catch let error as TopologyError {
            throw TopologyError("\(file): \(error.message)")
        } catch {
            throw TopologyError("\(file) is no \(format) file: \(error)")
        }
    }

    /// Writes the file as `load` reads it.
    package func write(_ file: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try encoder.encode(self).write(to: URL(filePath: file), options: .atomic)
    }

    /// Throws a sentence for the first thing that is wrong.
    package func check() throws(TopologyError) {
        guard format == Self.format else { throw TopologyError("its format is \(format), not \(Self.format)") }
        guard Set(sites.map(\.name)).count == sites.count else { throw TopologyError("two sites have the same name") }
        guard Set(peers.map(\.name)).count == peers.count else { throw TopologyError("two peers have the same name") }
        guard !peers.isEmpty, peers.count <= Int(UInt16.max) else { throw TopologyError("it names no peers") }
        for path in sites.map(\.inside) + links.flatMap({ [$0.path] + ($0.back.map { [$0] } ?? []) }) + [elsewhere] {
            guard path.megabits > 0, path.delayMilliseconds >= 0, path.jitterMilliseconds ?? 0 >= 0,
                (0...100).contains(path.lossPercent ?? 0)
            else { throw TopologyError("a path needs a positive rate, no negative delay and at most 100 % loss") }
        }
        for peer in peers {
            guard peer.upMegabits > 0, peer.downMegabits > 0 else {
                throw TopologyError("\(peer.name) needs positive access rates")
            }
            guard sites.contains(where: { $0.name == peer.site }) else {
                throw TopologyError("\(peer.name) is at the unknown site \(peer.site)")
            }
        }
        for link in links {
            guard link.between.count == 2, link.between.allSatisfy({ name in sites.contains { $0.name == name } })
            else { throw TopologyError("the link between \(link.between) does not name two known sites") }
        }
    }

    /// The path from one peer to another, both of which must exist.
    package func path(from one: Peer, to other: Peer) -> Path {
        if one.site == other.site, let site = sites.first(where: { $0.name == one.site }) { return site.inside }
        for link in links {
            if link.between == [one.site, other.site] { return link.path }
            if link.between == [other.site, one.site] { return link.back ?? link.path }
        }
        return elsewhere
    }

    /// What a measurement of one direction should find: the narrowest of both access links and the path, in 10⁶ bits a
    /// second.
    package func megabits(from one: Peer, to other: Peer) -> Double {
        min(one.upMegabits, other.downMegabits, path(from: one, to: other).megabits)
    }
}

/// What is wrong with a topology.
package struct TopologyError: Error, Hashable, Sendable, CustomStringConvertible {
    package let message: String

    package init(_ message: String) { self.message = message }

    package var description: String { message }
}
