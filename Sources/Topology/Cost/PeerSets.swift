/// Sets of peers in which those that differ in nothing are only counted: a set says how many it has of each kind.
///
/// Sets are numbered so that a set's number is the sum of those of its parts, and no part has a greater one.
struct PeerSets {
    /// By kind: its peers, ascending.
    let kinds: [[Int]]
    /// By kind: the number of the set of one such peer.
    let strides: [Int]
    /// By kind: its peers in the greatest set.
    let counts: [Int]
    /// How many sets there are, the empty one included.
    let count: Int
    /// By set and kind: its peers.
    let members: [UInt8]
    /// By set: its peers.
    let sizes: [Int]

    /// The set of all peers.
    var all: Int { count - 1 }

    /// - Returns: `nil` if there are more sets than `limit`.
    init?(_ tables: CostTables, limit: Int) {
        var kinds: [[Int]] = []
        for peer in 0..<tables.peers {
            if let kind = kinds.firstIndex(where: { tables.areTwins($0[0], peer) }) {
                kinds[kind].append(peer)
            } else {
                kinds.append([peer])
            }
        }
        var strides: [Int] = []
        var count = 1
        for kind in kinds {
            strides.append(count)
            count *= kind.count + 1
            guard count <= limit else { return nil }
        }
        self.kinds = kinds
        self.strides = strides
        self.count = count
        counts = kinds.map(\.count)
        var members: [UInt8] = []
        members.reserveCapacity(count * kinds.count)
        var sizes: [Int] = []
        sizes.reserveCapacity(count)
        for set in 0..<count {
            var size = 0
            for (kind, stride) in strides.enumerated() {
                let number = set / stride % (kinds[kind].count + 1)
                members.append(UInt8(number))
                size += number
            }
            sizes.append(size)
        }
        self.members = members
        self.sizes = sizes
    }

    func number(of kind: Int, in set: Int) -> Int { Int(members[set * kinds.count + kind]) }

    /// The sets of which all members are in `set`, the empty one first, ascending.
    func parts(of set: Int) -> [Int] {
        var parts = [0]
        for kind in kinds.indices {
            let known = parts.count
            for number in 0..<number(of: kind, in: set) {
                for index in 0..<known { parts.append(parts[index] + (number + 1) * strides[kind]) }
            }
        }
        return parts
    }
}

extension CostTables {
    /// Whether two peers may change places in any plan without changing its time.
    func areTwins(_ left: Int, _ right: Int) -> Bool {
        func isEqual(_ first: (Int, Int), _ second: (Int, Int)) -> Bool {
            latency[first.0, first.1] == latency[second.0, second.1]
                && secondsPerByte[first.0, first.1] == secondsPerByte[second.0, second.1]
        }
        guard secondsPerFlop[left] == secondsPerFlop[right], memoryBytes[left] == memoryBytes[right],
            uplinkSecondsPerByte[left] == uplinkSecondsPerByte[right],
            downlinkSecondsPerByte[left] == downlinkSecondsPerByte[right],
            isEqual((left, right), (right, left))
        else { return false }
        for other in 0..<peers where other != left && other != right {
            guard isEqual((left, other), (right, other)), isEqual((other, left), (other, right)) else { return false }
        }
        return true
    }
}
