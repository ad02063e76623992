package import Primitives
package import Wire

/// What a planner knows of the network at one snapshot: the peers, what they can do, and every directed link between
/// them.
package struct LinkGraph: Hashable, Sendable {
    /// A peer as the planner sees it.
    package struct Node: Hashable, Sendable {
        /// A name for people.
        package var name: String
        package var peer: PeerID
        /// Floating-point operations a second that training reaches.
        package var flopsPerSecond: Double
        /// Memory for weights, optimiser state and activations.
        package var memoryBytes: Double
        /// Bytes a second that the peer can send to all others together, where that is known.
        package var uplinkBytesPerSecond: Double?
        /// Bytes a second that the peer can receive from all others together, where that is known.
        package var downlinkBytesPerSecond: Double?
        /// Bytes a second that the peer reads of its weights and caches, where that is known: what bounds the generation of
        /// a token. Known to planning problems only: it is not part of an encoded graph.
        package var memoryBytesPerSecond: Double?
        /// What an hour of the peer costs, in whatever currency all prices have; `nil` is free. Not part of an encoded
        /// graph.
        package var pricePerHour: Double?

        package init(
            name: String, peer: PeerID? = nil, flopsPerSecond: Double, memoryBytes: Double,
            uplinkBytesPerSecond: Double? = nil, downlinkBytesPerSecond: Double? = nil,
            memoryBytesPerSecond: Double? = nil, pricePerHour: Double? = nil
        ) {
            self.name = name
            self.peer = peer ?? Self.identity(of: name)
            self.flopsPerSecond = flopsPerSecond
            self.memoryBytes = memoryBytes
            self.uplinkBytesPerSecond = uplinkBytesPerSecond
            self.downlinkBytesPerSecond = downlinkBytesPerSecond
            self.memoryBytesPerSecond = memoryBytesPerSecond
            self.pricePerHour = pricePerHour
        }

        /// A stand-in identity for a peer that exists only in a planning problem: the hash of its name.
        private static func identity(of name: String) -> PeerID {
            guard let peer = PeerID(bytes: Digest.sha256(Array(name.utf8)).bytes) else {
                preconditionFailure("a digest is as long as an identity")
            }
            return peer
        }
    }

    /// The peers; the matrices are indexed by the position here.
    package var nodes: [Node]
    /// One-way latency in seconds, row-major: from the row's peer to the column's.
    package var latencies: LinkTable<LinkEstimate>
    /// Bytes per second, row-major: from the row's peer to the column's.
    package var rates: LinkTable<LinkEstimate>
    /// Which gossip snapshot (or file) the graph was made of; given by the maker.
    package var digest: Digest

    /// A graph of these peers with every link unknown.
    package init(nodes: [Node], digest: Digest) {
        self.nodes = nodes
        self.digest = digest
        latencies = LinkTable(
            peers: nodes.count, values: Array(repeating: .unknown, count: nodes.count * nodes.count), own: .unknown)
        rates = latencies
    }

    /// A graph of these peers with these links.
    package init(
        nodes: [Node], latencies: LinkTable<LinkEstimate>, rates: LinkTable<LinkEstimate>, digest: Digest
    ) {
        self.nodes = nodes
        self.latencies = latencies
        self.rates = rates
        self.digest = digest
    }

    /// The number of peers.
    package var count: Int { nodes.count }

    /// The position of a link in the matrices.
    package func position(from source: Int, to target: Int) -> Int { source * nodes.count + target }

    /// Sets both figures of a directed link.
    package mutating func setLink(
        from source: Int, to target: Int, latency: LinkEstimate?, bytesPerSecond: LinkEstimate?
    ) {
        let position = position(from: source, to: target)
        if let latency { latencies[position] = latency }
        if let bytesPerSecond { rates[position] = bytesPerSecond }
    }

    /// The index of a peer, or `nil`.
    package func index(of peer: PeerID) -> Int? { nodes.firstIndex { $0.peer == peer } }

    /// How many directed links (of count × (count − 1)) are measured, predicted and unknown in both figures: a link
    /// counts as measured only if both are, and as unknown if either is.
    package var coverage: (measured: Int, predicted: Int, unknown: Int) {
        var result = (measured: 0, predicted: 0, unknown: 0)
        for source in 0..<count {
            for target in 0..<count where target != source {
                let position = position(from: source, to: target)
                switch (latencies[position].source, rates[position].source) {
                case (.unknown, _), (_, .unknown): result.unknown += 1
                case (.measured, .measured): result.measured += 1
                default: result.predicted += 1
                }
            }
        }
        return result
    }

    /// The same graph with the peers in another order: position k holds what `order[k]` was.
    package func permuted(_ order: [Int]) -> LinkGraph {
        LinkGraph(
            nodes: order.map { nodes[$0] }, latencies: latencies.permuted(order), rates: rates.permuted(order),
            digest: digest)
    }
}

extension LinkGraph.Node: WireCodable {
    package func encode(to writer: inout WireWriter) {
        writer.write(name)
        writer.write(peer)
        writer.write(flopsPerSecond)
        writer.write(memoryBytes)
        writer.writeOptional(uplinkBytesPerSecond) { $0.write($1) }
        writer.writeOptional(downlinkBytesPerSecond) { $0.write($1) }
    }

    package init(from reader: inout WireReader) throws(WireError) {
        name = try reader.readString(maximum: Limits.nameBytes)
        peer = try reader.readPeer()
        flopsPerSecond = try reader.readFiniteDouble()
        memoryBytes = try reader.readFiniteDouble()
        uplinkBytesPerSecond = try reader.readOptional { (reader) throws(WireError) in try reader.readFiniteDouble() }
        downlinkBytesPerSecond = try reader.readOptional { (reader) throws(WireError) in try reader.readFiniteDouble() }
    }
}

extension LinkGraph {
    /// A digest of the peers and links, for graphs that come from a file.
    package var contentDigest: Digest {
        guard count > Self.maximumEncodedPeers, rates.isOfPlaces else { return Digest.sha256(wireBytes) }
        // The links of ten thousand peers one by one would take gigabytes.
        var writer = WireWriter()
        writer.write(digest)
        for node in nodes { node.encode(to: &writer) }
        for table in [latencies, rates] {
            for place in table.places { writer.writeVarint(UInt64(place)) }
            table.forEachKind { source, target, _ in table[source, target].encode(to: &writer) }
        }
        return Digest.sha256(writer.bytes)
    }
}

extension LinkGraph: WireCodable {
    /// Peers in an encoded graph: more would not fit a stream message.
    package static let maximumEncodedPeers = 1024
    private static let encodingVersion: UInt8 = 2

    package func encode(to writer: inout WireWriter) {
        writer.write(Self.encodingVersion)
        writer.write(digest)
        writer.write(nodes)
        for source in 0..<count {
            for target in 0..<count where target != source {
                latencies[position(from: source, to: target)].encode(to: &writer)
                rates[position(from: source, to: target)].encode(to: &writer)
            }
        }
    }

    package init(from reader: inout WireReader) throws(WireError) {
        let version = try reader.read(UInt8.self)
        guard version == Self.encodingVersion else { throw .unknownVersion(version) }
        let digest = try reader.readDigest()
        let nodes = try reader.readArray(of: Node.self, maximum: Self.maximumEncodedPeers)
        // Each link takes at least two bytes: checked before the matrices are allocated.
        guard reader.remaining >= 2 * nodes.count * max(0, nodes.count - 1) else { throw .truncated }
        self.init(nodes: nodes, digest: digest)
        for source in 0..<count {
            for target in 0..<count where target != source {
                latencies[position(from: source, to: target)] = try reader.read(LinkEstimate.self)
                rates[position(from: source, to: target)] = try reader.read(LinkEstimate.self)
            }
        }
    }
}
