/// Why something that arrived was not taken, and how often; every dropped thing is counted exactly once.
package enum OverlayDrop: String, CaseIterable, Sendable {
    /// A payload that could not be parsed.
    case malformed
    /// A record, farewell or entry whose signature does not fit.
    case forged
    /// An older version or incarnation than the one known.
    case stale
    /// An entry that is already here; gossip brings most entries more than once.
    case duplicate
    /// A statement about an incarnation or peer that is not known (yet).
    case unknownSubject
    /// An entry of a peer that is not a live member.
    case unknownOwner
    /// A member, owner or entry over a limit.
    case overLimit
    /// A second value for a version.
    case equivocation
    /// A message that only an insider who lies or has lost its memory sends.
    case unexpected
    /// From or about a peer that the closed swarm does not admit.
    case notAdmitted

    /// Whether only a peer that lies or is broken sends such a thing: who relays what it has verified does not. What is late,
    /// known already or over a limit may come from anybody.
    package var isMisbehaviour: Bool { self == .malformed || self == .forged || self == .unexpected }
}

/// How often each reason for dropping has come up.
package struct OverlayCounters: Hashable, Sendable {
    private var counts = [UInt64](repeating: 0, count: OverlayDrop.allCases.count)

    /// Drops for which the sender is to blame, and the reason for the last of them.
    package private(set) var misbehaviours: UInt64 = 0
    package private(set) var lastMisbehaviour: OverlayDrop?

    package init() {}

    /// The count of one reason.
    package subscript(reason: OverlayDrop) -> UInt64 { counts[Self.index(reason)] }

    /// Counts one more.
    package mutating func count(_ reason: OverlayDrop) {
        counts[Self.index(reason)] += 1
        guard reason.isMisbehaviour else { return }
        misbehaviours += 1
        lastMisbehaviour = reason
    }

    /// All reasons with their counts, in a fixed order.
    package var all: [(reason: OverlayDrop, count: UInt64)] { OverlayDrop.allCases.map { ($0, self[$0]) } }

    /// The sum of two sets of counters.
    package static func + (left: OverlayCounters, right: OverlayCounters) -> OverlayCounters {
        var sum = left
        for index in sum.counts.indices { sum.counts[index] += right.counts[index] }
        sum.misbehaviours += right.misbehaviours
        sum.lastMisbehaviour = right.lastMisbehaviour ?? left.lastMisbehaviour
        return sum
    }

    // A search in `allCases` would make an array for every entry that gossip brings twice.
    private static func index(_ reason: OverlayDrop) -> Int {
        switch reason {
        case .malformed: 0
        case .forged: 1
        case .stale: 2
        case .duplicate: 3
        case .unknownSubject: 4
        case .unknownOwner: 5
        case .overLimit: 6
        case .equivocation: 7
        case .unexpected: 8
        case .notAdmitted: 9
        }
    }
}
