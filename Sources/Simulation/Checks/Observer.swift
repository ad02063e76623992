package import Overlay
package import Primitives

/// Watches all peers of a simulation: who runs, who believes whom to be alive, and whether an invariant breaks.
package struct Observer {
    /// One peer's belief that another is gone.
    package struct Death: Hashable, Sendable {
        package var observer: Int
        package var subject: Int
        package var at: Instant
        /// Whether the subject's process was running and not paused.
        package var isFalse: Bool
    }

    /// Violations kept for the report; more are only counted.
    package static let reportedViolations = 20

    /// In larger swarms versions are not watched: a gigabyte of them would be.
    package static let versionedPeers = 4096

    /// Peers whose process runs.
    package private(set) var isRunning: [Bool]
    /// Beliefs that differ from the truth: ordered pairs of a running observer and a subject.
    package private(set) var wrongBeliefs = 0
    /// Every time a peer declared another dead.
    package private(set) var deaths: [Death] = []
    /// Broken invariants, for people.
    package private(set) var violations: [String] = []
    package private(set) var violationCount = 0

    /// How often honest peers named each peer to their operators for something that no honest peer does.
    package private(set) var blames: [Int]

    private let count: Int
    private let width: Int
    // A bit a pair, a row an observer: the pairs of ten thousand peers fit in 12 MB.
    private var beliefs: [UInt64]
    private var versions: [[UInt64: UInt64]]  // only looked up, never iterated

    package init(peers: Int) {
        count = peers
        isRunning = Array(repeating: false, count: peers)
        width = (peers + 63) / 64
        beliefs = Array(repeating: 0, count: width * peers)
        versions = Array(repeating: [:], count: peers)
        blames = Array(repeating: 0, count: peers)
    }

    /// An honest peer blames the subject.
    package mutating func recordBlame(_ subject: Int) { blames[subject] += 1 }

    /// Peers that run.
    package var runningCount: Int { isRunning.count { $0 } }

    /// Whether an observer believes a subject to be alive.
    package func believes(_ observer: Int, _ subject: Int) -> Bool {
        beliefs[observer * width + subject >> 6] >> UInt64(subject & 63) & 1 == 1
    }

    /// A process was started (with an empty memory) or has ended.
    package mutating func setRunning(_ peer: Int, _ running: Bool) {
        guard isRunning[peer] != running else { return }
        if isRunning[peer] { wrongBeliefs -= row(peer) }
        for observer in 0..<count where observer != peer && isRunning[observer] {
            wrongBeliefs += believes(observer, peer) == running ? -1 : 1
        }
        isRunning[peer] = running
        if running {
            for word in 0..<width { beliefs[peer * width + word] = 0 }
            versions[peer] = [:]
            wrongBeliefs += row(peer)
        }
    }

    /// An observer changed its belief.
    package mutating func setBelief(_ observer: Int, _ subject: Int, alive: Bool) {
        guard observer != subject, believes(observer, subject) != alive else { return }
        beliefs[observer * width + subject >> 6] ^= 1 << UInt64(subject & 63)
        if isRunning[observer] { wrongBeliefs += alive == isRunning[subject] ? -1 : 1 }
    }

    /// An observer declared a subject dead.
    package mutating func recordDeath(_ observer: Int, _ subject: Int, at now: Instant, isFalse: Bool) {
        deaths.append(Death(observer: observer, subject: subject, at: now, isFalse: isFalse))
    }

    /// An observer stored a version of an entry: it must not be older than one that it stored before.
    package mutating func recordVersion(
        _ observer: Int, _ owner: Int, _ key: EntryKey, _ version: UInt64, at now: Instant
    ) {
        guard count <= Self.versionedPeers else { return }
        let place = UInt64(owner) << 16 | UInt64(key.kind) << 8 | UInt64(key.index)
        if let before = versions[observer][place], version < before {
            violate(
                "peer \(observer) went back from version \(before) to \(version) of entry \(key) of peer \(owner)",
                at: now)
        }
        versions[observer][place] = version
    }

    /// Notes a broken invariant.
    package mutating func violate(_ text: String, at now: Instant) {
        violationCount += 1
        guard violations.count < Self.reportedViolations else { return }
        violations.append("at \((Double(now.nanoseconds / 1_000_000)) / 1000) s: \(text)")
    }

    private func row(_ observer: Int) -> Int {
        (0..<count).count { $0 != observer && believes(observer, $0) != isRunning[$0] }
    }
}
