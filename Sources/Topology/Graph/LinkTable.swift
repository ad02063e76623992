/// One figure for every directed pair of peers, row-major: the row's peer sends to the column's.
///
/// Where peers stand at places and all links between two places are alike, the figures of the places are kept instead of
/// those of the pairs: ten thousand peers at ten places take a hundred figures, not a hundred million. The first pair that is
/// set by itself turns such a table into a full one.
package struct LinkTable<Value> {
    /// The number of peers.
    package let peers: Int
    /// By peer, where figures belong to places; empty in a full table.
    package private(set) var places: [Int32]
    /// Figures in a row of the table: the number of places, or of peers.
    package private(set) var width: Int
    private var values: [Value]
    /// A peer to itself, where figures belong to places.
    private var own: Value

    /// A full table.
    ///
    /// - Parameter values: `peers` × `peers`, row-major.
    package init(peers: Int, values: [Value], own: Value) {
        precondition(values.count == peers * peers, "a table of \(peers) peers has a figure for every pair")
        self.peers = peers
        self.values = values
        self.own = own
        places = []
        width = peers
    }

    /// A table of places.
    ///
    /// - Parameters:
    ///   - places: by peer.
    ///   - values: square, row-major; two peers of one place have the figure on the diagonal.
    ///   - own: a peer to itself.
    package init(places: [Int], width: Int, values: [Value], own: Value) {
        precondition(values.count == width * width, "a table of \(width) places has a figure for every pair")
        precondition(places.allSatisfy { (0..<width).contains($0) }, "every peer stands at a place of the table")
        peers = places.count
        self.places = places.map { Int32($0) }
        self.width = width
        self.values = values
        self.own = own
    }

    /// Whether figures belong to places.
    package var isOfPlaces: Bool { !places.isEmpty }

    /// The figure of a pair.
    package subscript(source: Int, target: Int) -> Value {
        guard isOfPlaces else { return values[source * width + target] }
        return source == target ? own : values[Int(places[source]) * width + Int(places[target])]
    }

    /// The figure between two places, or of two peers of the same place.
    func figure(from source: Int, to target: Int) -> Value { values[source * width + target] }

    /// The figures with another in place of each.
    package func mapLinks<Other>(_ transform: (Value) -> Other) -> LinkTable<Other> {
        var result = LinkTable<Other>(peers: 0, values: [], own: transform(own))
        result.take(shapeOf: self, values: values.map(transform))
        return result
    }

    /// The same table with a figure for every pair.
    package var filled: LinkTable {
        var table = self
        if isOfPlaces { table.fill() }
        return table
    }

    /// Whether both tables are full, or of the same places.
    package func isShaped(as other: LinkTable<some Any>) -> Bool { places == other.places && width == other.width }

    /// Figures made of those of both directions of every link of two tables of one shape.
    ///
    /// - Parameter own: a peer to itself.
    package func combined<Second, Other>(
        with second: LinkTable<Second>, own: Other,
        _ transform: (_ there: (Value, Second), _ back: (Value, Second)) -> Other
    ) -> LinkTable<Other> {
        precondition(isShaped(as: second), "both tables are of the same peers and places")
        var result = LinkTable<Other>(peers: 0, values: [], own: own)
        var combined: [Other] = []
        combined.reserveCapacity(values.count)
        for source in 0..<width {
            for target in 0..<width {
                let there = source * width + target
                let back = target * width + source
                combined.append(
                    source == target && !isOfPlaces
                        ? own : transform((values[there], second.values[there]), (values[back], second.values[back])))
            }
        }
        result.take(shapeOf: self, values: combined)
        return result
    }

    /// The table with the peers in another order: position k holds what `order[k]` was. Peers may be left out.
    package func permuted(_ order: [Int]) -> LinkTable {
        guard !isOfPlaces else {
            return LinkTable(places: order.map { Int(places[$0]) }, width: width, values: values, own: own)
        }
        var next: [Value] = []
        next.reserveCapacity(order.count * order.count)
        for source in order {
            for target in order { next.append(values[source * width + target]) }
        }
        return LinkTable(peers: order.count, values: next, own: own)
    }

    /// Every figure once with a pair that has it: all pairs of a full table, one for two places.
    package func forEachKind(_ body: (_ source: Int, _ target: Int, _ pairs: Int) -> Void) {
        guard isOfPlaces else {
            for source in 0..<peers { for target in 0..<peers where target != source { body(source, target, 1) } }
            return
        }
        var first = Array(repeating: -1, count: width)
        var second = first
        var count = Array(repeating: 0, count: width)
        for (peer, place) in places.enumerated() {
            if first[Int(place)] < 0 {
                first[Int(place)] = peer
            } else if second[Int(place)] < 0 {
                second[Int(place)] = peer
            }
            count[Int(place)] += 1
        }
        for from in 0..<width where count[from] > 0 {
            for to in 0..<width where count[to] > (from == to ? 1 : 0) {
                body(
                    first[from], from == to ? second[to] : first[to], count[from] * (count[to] - (from == to ? 1 : 0)))
            }
        }
    }

    /// The figures of a full table; `nil` if they belong to places.
    func withFullTable<Result>(_ body: (UnsafeBufferPointer<Value>) -> Result) -> Result? {
        isOfPlaces ? nil : values.withUnsafeBufferPointer(body)
    }

    private mutating func take<Other>(shapeOf other: LinkTable<Other>, values: [Value]) {
        self = LinkTable(peers: other.peers, places: other.places, width: other.width, values: values, own: own)
    }

    private init(peers: Int, places: [Int32], width: Int, values: [Value], own: Value) {
        self.peers = peers
        self.places = places
        self.width = width
        self.values = values
        self.own = own
    }

    private mutating func fill() {
        var full: [Value] = []
        full.reserveCapacity(peers * peers)
        for source in 0..<peers { for target in 0..<peers { full.append(self[source, target]) } }
        self = LinkTable(peers: peers, values: full, own: own)
    }
}

extension LinkTable: RandomAccessCollection, MutableCollection {
    package var startIndex: Int { 0 }
    package var endIndex: Int { peers * peers }

    /// The figure at a row-major position.
    package subscript(position: Int) -> Value {
        get { isOfPlaces ? self[position / peers, position % peers] : values[position] }
        set {
            if isOfPlaces { fill() }
            values[position] = newValue
        }
    }
}

extension LinkTable: Equatable where Value: Equatable {
    package static func == (left: LinkTable, right: LinkTable) -> Bool {
        if left.places == right.places { return left.peers == right.peers && left.values == right.values }
        return left.peers == right.peers && left.elementsEqual(right)
    }
}

extension LinkTable: Hashable where Value: Hashable {
    package func hash(into hasher: inout Hasher) {
        // Equal tables may be stored differently: only what both forms know cheaply is hashed.
        hasher.combine(peers)
        for position in indices.prefix(Self.hashed) { hasher.combine(self[position]) }
    }

    private static var hashed: Int { 64 }
}

extension LinkTable: Sendable where Value: Sendable {}
